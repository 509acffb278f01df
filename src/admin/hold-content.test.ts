import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { AdminService, type ExportedFile } from '#gen/serp/discuss/v1/admin_service_pb.ts';
import { AttachmentService } from '#gen/serp/discuss/v1/attachment_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, fileApp } from '../../test/kit/app.ts';
import { moveClock } from '../../test/kit/clock.ts';
import { until } from '../../test/kit/until.ts';
import { PNG, upload } from '../../test/kit/uploads.ts';

const tenantId = 1n;
const ana: As = { userId: 1n, tenantId };
const binh: As = { userId: 2n, tenantId };
const operator: As = { userId: 7n, tenantId: 0n, roles: ['discuss.admin', 'discuss.export'] };
const DAY_MS = 86_400_000n;

type Line = Readonly<Record<string, unknown>> & { readonly kind: string };

describe('a legal hold', () => {
  let the: App;

  before(async () => {
    the = await fileApp({
      RETENTION_INTERVAL_MS: '0',
      MAINTENANCE_INTERVAL_MS: '0',
      ATTACHMENT_PURGE_INTERVAL_MS: '50',
    });
  });
  after(() => the.close());

  const admin = () => the.client(AdminService, operator);
  const messages = (as = ana) => the.client(MessageService, as);
  const group = async () => {
    const { channel } = await the
      .client(ChannelService, ana)
      .createChannel({ name: 'Kho', memberUserIds: [2n] });
    return channel?.id ?? 0n;
  };
  const hold = async (channelId: bigint) => {
    const subject = { case: 'channelId', value: channelId } as const;
    const { hold: placed } = await admin().placeHold({ tenantId, subject, reason: 'Vụ 1' });
    return () => admin().releaseHold({ tenantId, holdId: placed?.id ?? 0n });
  };
  const exported = async (channelId: bigint) => {
    const lines: Line[] = [];
    for await (const part of admin().exportChannel({ tenantId, channelId }))
      for (const line of part.lines.split('\n').slice(0, -1)) lines.push(JSON.parse(line));
    return lines.filter(({ kind }) => kind.startsWith('held'));
  };
  /** A message that was edited and has a reaction, and one with a file. */
  const send = async (channelId: bigint) => {
    const { message } = await messages().sendMessage({ channelId, content: 'v1' });
    const messageId = message?.id ?? 0n;
    const updateMask = { paths: ['content'] };
    await messages().editMessage({ channelId, messageId, content: 'v2', updateMask });
    await messages(binh).addReaction({ channelId, messageId, emoji: '👍' });
    const file = await upload(the.client(AttachmentService, ana), channelId, 'kho.png', PNG);
    const picture = await messages().sendMessage({ channelId, attachmentIds: [file.id] });
    return { messageId, pictureId: picture.message?.id ?? 0n, fileId: file.id };
  };
  const keyOf = async (id: ExportedFile['id']) => {
    const [row] = await the.owner<{ key: string }[]>`select s3_key as key from attachments where id = ${id}`;
    return row?.key ?? '';
  };
  const objects = () => the.instances[0]?.deps.storage ?? assert.fail();
  const expireUrls = () => the.owner`update attachments set urls_expire_at = 1`;

  it('keeps what users delete, hidden from them, until its release', async () => {
    const [kept, other] = [await group(), await group()];
    const [held, free] = [await send(kept), await send(other)];
    const [heldKey, freeKey] = [await keyOf(held.fileId), await keyOf(free.fileId)];
    await expireUrls();
    const release = await hold(kept);
    for (const [channelId, { messageId, pictureId }] of [
      [kept, held],
      [other, free],
    ] as const)
      for (const id of [messageId, pictureId]) await messages().deleteMessage({ channelId, messageId: id });
    const shown = await messages(binh).listMessages({ channelId: kept });
    const deleted = shown.messages.filter(({ deleteTime }) => deleteTime !== undefined);
    assert.deepEqual(
      deleted.map(({ content, reactions, attachments }) => [content, reactions, attachments]),
      [
        ['', [], []],
        ['', [], []],
      ],
    );
    assert.deepEqual(
      (await exported(kept)).map((line) => [
        line.kind,
        line['messageId'],
        line['content'] ?? line['id'] ?? null,
      ]),
      [
        ['heldMessage', `${held.messageId}`, null],
        ['heldVersion', `${held.messageId}`, 'v1'],
        ['heldFile', `${held.pictureId}`, `${held.fileId}`],
      ],
    );
    assert.deepEqual(await exported(other), []);
    await until(async () => (await objects().head(freeKey)) === undefined, 'the other file is deleted');
    assert.notEqual(await objects().head(heldKey), undefined);
    await release();
    assert.deepEqual(await exported(kept), []);
    await until(async () => (await objects().head(heldKey)) === undefined, 'the held file is deleted');
  });

  it('keeps its events of the log after their day was dropped', async () => {
    const [kept, other] = [await group(), await group()];
    for (const channelId of [kept, other]) await messages().sendMessage({ channelId, content: 'nhật ký' });
    const release = await hold(kept);
    await moveClock(the, 9);
    await admin().runRetention({});
    await moveClock(the, 0);
    const [left] = await the.owner`select from channel_events where channel_id in (${kept}, ${other})`;
    assert.equal(left, undefined);
    assert.match(JSON.stringify(await exported(kept)), /"kind":"heldEvent".*nhật ký/);
    assert.deepEqual(await exported(other), []);
    await release();
    assert.deepEqual(await exported(kept), []);
  });

  it('does not make purges read what it keeps again', async () => {
    const [kept, other] = [await group(), await group()];
    const release = await hold(kept);
    const ids: bigint[] = [];
    for (const channelId of [kept, kept, kept, kept, kept, other]) {
      const { message } = await messages().sendMessage({ channelId, content: 'x' });
      const messageId = message?.id ?? 0n;
      await messages().deleteMessage({ channelId, messageId });
      ids.push(messageId);
    }
    await the.owner`
      update messages m set deleted_at = now_ms() - ${1_000n * DAY_MS} + m.id
      where m.id = any(${ids.map(String)}::bigint[])
    `;
    const old = Date.now() - 500 * 86_400_000;
    await the.owner`
      insert into activity_feed
        (tenant_id, user_id, action_type, actor_id, channel_id, description, "timestamp", created_at)
      select ${tenantId}, 50, 'X', 51, c, 'x', ${old}, 1 from unnest(array[${kept}, ${other}]::bigint[]) as c
    `;
    await the.owner`select ensure_partitions()`;
    const purge = async (limit: number) => {
      const [row] = await the.owner<{ n: number }[]>`
        select purge_deleted_messages(${90n * DAY_MS}, ${limit}) as n
      `;
      return row?.n;
    };
    const count = async (query: Promise<readonly { n: number }[]>) => (await query)[0]?.n;
    const expired = () =>
      count(the.owner<{ n: number }[]>`select count(*)::int as n from expired_messages(${90n * DAY_MS}, 10)`);
    const months = () => count(the.owner<{ n: number }[]>`select count(*)::int as n from kept_partitions`);
    // The five held ones are the oldest, and more than a batch.
    assert.equal(await expired(), 6);
    assert.equal(await purge(2), 1);
    assert.equal(await expired(), 0);
    const { removedActivityCount } = await admin().runRetention({});
    assert.deepEqual([removedActivityCount, await months()], [1, 1]);
    await release();
    assert.deepEqual([await expired(), await months()], [5, 0]);
    const last = await admin().runRetention({});
    assert.deepEqual([last.removedMessageCount, last.removedActivityCount], [5, 1]);
  });
});
