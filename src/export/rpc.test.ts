import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { AdminService, type ExportedFile } from '#gen/serp/discuss/v1/admin_service_pb.ts';
import { AttachmentService } from '#gen/serp/discuss/v1/attachment_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, type Edge, fileApp } from '../../test/kit/app.ts';
import { rejects } from '../../test/kit/rejects.ts';
import { PNG, upload } from '../../test/kit/uploads.ts';
import { MAX_RESPONSE_BYTES } from '../rpc/response-size.ts';

const tenantId = 1n;
const ana: As = { userId: 1n, tenantId };
const binh: As = { userId: 2n, tenantId };
const exporter: As = { userId: 7n, tenantId: 0n, roles: ['discuss.admin', 'discuss.export'] };
// Two bytes of JSON in a line, and three in the JSON of a response.
const LARGE = `"${'\t'.repeat(9_998)}"`;

type Part = { readonly lines: string; readonly files: readonly ExportedFile[]; readonly cursor: string };
type Line = Readonly<Record<string, unknown>> & { readonly kind: string };

describe('exports', () => {
  let the: App;
  let channelId: bigint;
  let edited: bigint;
  let removed: bigint;
  let fileId: bigint;
  const sent: bigint[] = [];

  before(async () => {
    the = await fileApp({ RETENTION_INTERVAL_MS: '0' });
    const { channel } = await the
      .client(ChannelService, ana)
      .createChannel({ name: 'Kho', memberUserIds: [2n, 3n] });
    channelId = channel?.id ?? 0n;
    const post = async (as: As, content: string, more = {}) => {
      const { message } = await messages(as).sendMessage({ channelId, content, ...more });
      return message?.id ?? 0n;
    };
    edited = await post(binh, 'v1', { mentionUserIds: [1n] });
    for (const content of ['v2', 'v3']) {
      const updateMask = { paths: ['content'] };
      await messages(binh).editMessage({ channelId, messageId: edited, content, updateMask });
    }
    removed = await post(ana, 'đã xoá');
    await messages(ana).deleteMessage({ channelId, messageId: removed });
    await messages(ana).addReaction({ channelId, messageId: edited, emoji: '👍' });
    const file = await upload(the.client(AttachmentService, ana), channelId, 'kho.png', PNG);
    fileId = file.id;
    sent.push(edited, removed, await post(ana, '', { attachmentIds: [file.id] }));
    for (let index = 0; index < 60; index += 1) sent.push(await post(index % 2 ? ana : binh, LARGE));
    await the.client(MemberService, ana).removeMember({ channelId, userId: 3n });
  });
  after(() => the.close());

  const messages = (as: As) => the.client(MessageService, as);
  const admin = (edge: Edge = 'grpc', as = exporter) => the.client(AdminService, as, edge);
  const collect = async (stream: AsyncIterable<Part>) => {
    const parts: Part[] = [];
    for await (const part of stream) {
      assert.ok(
        JSON.stringify(part, (_, value) => (typeof value === 'bigint' ? `${value}` : value)).length <
          MAX_RESPONSE_BYTES,
      );
      parts.push(part);
    }
    return parts;
  };
  const toLines = (parts: readonly Part[]): Line[] =>
    parts.flatMap(({ lines }) => lines.split('\n').slice(0, -1)).map((line) => JSON.parse(line));
  const keys = (lines: readonly Line[]) =>
    lines.map((line) =>
      [line.kind, line['id'] ?? line['messageId'] ?? line['userId'], line['version']].join(' '),
    );

  it('of a channel contain its members, all messages with their versions, what was deleted, and the files', async () => {
    const parts = await collect(admin().exportChannel({ tenantId, channelId }));
    assert.ok(parts.length > 3, 'large messages are in several responses');
    const lines = toLines(parts);
    const of = (kind: string) => lines.filter((line) => line.kind === kind);
    assert.deepEqual(
      of('channel').map(({ id, name }) => [id, name]),
      [[`${channelId}`, 'Kho']],
    );
    assert.deepEqual(
      of('member').map(({ userId, status }) => [userId, status]),
      [
        ['1', 'ACTIVE'],
        ['2', 'ACTIVE'],
        ['3', 'REMOVED'],
      ],
    );
    const exported = of('message').filter((line) => line['notice'] === undefined);
    assert.deepEqual(
      exported.map(({ id }) => id),
      sent.map(String),
    );
    assert.deepEqual(
      of('version').map(({ content, version }) => [content, version]),
      [
        ['v1', 1],
        ['v2', 2],
      ],
    );
    assert.deepEqual(
      [exported[0]?.['content'], exported[0]?.['mentionUserIds'], exported[0]?.['reactions']],
      ['v3', ['1'], [{ emoji: '👍', userIds: ['1'] }]],
    );
    const gone = exported.find(({ id }) => id === `${removed}`);
    assert.deepEqual([gone?.['content'], typeof gone?.['deleteTime']], ['đã xoá', 'string']);
    const [file, ...rest] = parts.flatMap(({ files }) => files);
    assert.deepEqual([file?.id, file?.messageId, file?.byteCount], [fileId, sent[2], BigInt(PNG.length)]);
    assert.match(file?.location ?? '', /^s3:\/\/attachments\//);
    assert.deepEqual(rest, []);
    const again = await collect(admin('web').exportChannel({ tenantId, channelId }));
    assert.deepEqual(toLines(again), lines);
  });

  it('continue after a lost connection at any response, without a repeated line', async () => {
    for (const open of [
      (cursor: string) => admin().exportChannel({ tenantId, channelId, cursor }),
      (cursor: string) => admin().exportUser({ tenantId, userId: 1n, cursor }),
    ]) {
      const parts = await collect(open(''));
      const all = keys(toLines(parts));
      assert.equal(new Set(all).size, all.length);
      for (const [index, { cursor }] of parts.entries()) {
        const rest = await collect(open(cursor));
        assert.deepEqual(keys(toLines([...parts.slice(0, index + 1), ...rest])), all);
      }
    }
  });

  it('of a user contain what the user wrote and received, and nothing of others', async () => {
    const lines = toLines(await collect(admin().exportUser({ tenantId, userId: 1n })));
    const senders = lines.filter(({ kind }) => kind === 'message').map((line) => line['senderId']);
    assert.deepEqual(new Set(senders), new Set(['1']));
    assert.equal(senders.length, 32);
    const traces = lines.filter(({ kind }) => kind === 'trace');
    assert.deepEqual(
      traces.map((line) => [line['messageId'], line['mentioned'], line['reactions']]),
      [[`${edited}`, true, ['👍']]],
    );
    assert.ok(lines.some(({ kind }) => kind === 'membership'));
    assert.ok(lines.some((line) => line.kind === 'activity' && line['messageId'] === `${edited}`));
    assert.deepEqual(
      lines.filter(({ kind }) => kind === 'version'),
      [],
    );
    const nothing = toLines(await collect(admin().exportUser({ tenantId: 2n, userId: 1n })));
    assert.deepEqual(
      nothing.map(({ kind }) => kind),
      ['user'],
    );
  });

  it('need the role, a channel of the tenant and a cursor of the same export', async () => {
    const read = (request: object, as = exporter) =>
      collect(admin('web', as).exportChannel({ tenantId, channelId, ...request }));
    await rejects(
      read({}, { ...exporter, roles: ['discuss.admin'] }),
      Code.PermissionDenied,
      'CALLER_NOT_ALLOWED',
    );
    await rejects(read({ tenantId: 2n }), Code.NotFound, 'CHANNEL_NOT_FOUND');
    const [first] = await collect(admin().exportUser({ tenantId, userId: 1n }));
    await rejects(read({ cursor: first?.cursor }), Code.InvalidArgument, 'FIELD_INVALID');
    await rejects(
      read({ tenantId: 2n, cursor: `c${channelId}.2.0.0.0` }),
      Code.NotFound,
      'CHANNEL_NOT_FOUND',
    );
    const { events } = await the.client(AdminService, exporter).listAuditEvents({ tenantId, pageSize: 100 });
    assert.ok(events.some(({ action }) => action === 'AdminService/ExportChannel'));
  });
});
