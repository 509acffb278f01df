import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { AdminService } from '#gen/serp/discuss/v1/admin_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app } from '../../test/kit/app.ts';

const tenantId = 1n;
const SECRET = 'xylotheque';
const CIPHERTEXT = /^[A-Za-z0-9+/]{40,}=*$/;
const ana: As = { userId: 1n, tenantId };
const binh: As = { userId: 2n, tenantId };
const operator: As = { userId: 7n, tenantId: 0n, roles: ['discuss.admin', 'discuss.export'] };

type Line = { readonly kind: string } & Readonly<Record<string, unknown>>;

describe('an encrypted channel', () => {
  let the: App;

  before(async () => {
    the = await app({
      ENCRYPTION_KEYS: `k1=${randomBytes(32).toString('base64')}`,
      RETENTION_INTERVAL_MS: '0',
      OPERATION_POLL_MS: '50',
    });
  });
  after(() => the.close());

  const admin = () => the.client(AdminService, operator);
  const messages = (as = ana) => the.client(MessageService, as);
  const group = async () => {
    const channels = the.client(ChannelService, ana);
    const { channel } = await channels.createChannel({ name: 'Kho', memberUserIds: [2n], encrypted: true });
    return channel?.id ?? 0n;
  };
  /** A message with an earlier version. */
  const post = async (channelId: bigint, as = ana) => {
    const { message } = await messages(as).sendMessage({ channelId, content: `${SECRET} 1` });
    const messageId = message?.id ?? 0n;
    const updateMask = { paths: ['content'] };
    await messages(as).editMessage({ channelId, messageId, content: `${SECRET} 2`, updateMask });
    return messageId;
  };
  const exported = async (channelId: bigint) => {
    let text = '';
    for await (const part of admin().exportChannel({ tenantId, channelId })) text += part.lines;
    assert.ok(!text.includes(SECRET));
    return text
      .split('\n')
      .slice(0, -1)
      .map((line): Line => JSON.parse(line));
  };
  const contents = async (channelId: bigint) => {
    const page = await messages().listMessages({ channelId });
    return page.messages.filter(({ notice }) => notice === undefined).map(({ content }) => content);
  };

  it('is exported as ciphertext, with its earlier versions', async () => {
    const channelId = await group();
    const messageId = await post(channelId);
    const lines = await exported(channelId);
    const [message] = lines.filter(({ kind, notice }) => kind === 'message' && notice === undefined);
    const [version] = lines.filter(({ kind }) => kind === 'version');
    assert.deepEqual([message?.['id'], message?.['content']], [`${messageId}`, '']);
    assert.deepEqual([version?.['messageId'], version?.['content']], [`${messageId}`, '']);
    for (const line of [message, version]) assert.match(`${line?.['encryptedContent']}`, CIPHERTEXT);
  });

  it('keeps the ciphertext of what is deleted during a hold, until its release', async () => {
    const channelId = await group();
    const messageId = await post(channelId);
    const subject = { case: 'channelId', value: channelId } as const;
    const { hold } = await admin().placeHold({ tenantId, subject, reason: 'Vụ 1' });
    await messages().deleteMessage({ channelId, messageId });
    assert.deepEqual(await contents(channelId), ['']);
    const lines = await exported(channelId);
    const deleted = lines.find(({ id, kind }) => kind === 'message' && id === `${messageId}`);
    const held = lines.filter(({ kind }) => kind.startsWith('held'));
    assert.deepEqual(
      held.map((line) => [line.kind, line['messageId'], line['content']]),
      [['heldVersion', `${messageId}`, '']],
    );
    for (const line of [deleted, held[0]]) assert.match(`${line?.['encryptedContent']}`, CIPHERTEXT);
    await admin().releaseHold({ tenantId, holdId: hold?.id ?? 0n });
    const left = await exported(channelId);
    assert.ok(!left.some(({ kind }) => kind.startsWith('held')));
  });

  it('loses what an erased user wrote, and no more', async () => {
    const channelId = await group();
    await post(channelId, binh);
    await post(channelId, ana);
    const { operation } = await admin().eraseUser({ tenantId, userId: binh.userId });
    const { operation: done } = await admin().waitOperation({ tenantId, operationId: operation?.id ?? 0n });
    assert.equal(done?.result.case, 'success');
    assert.deepEqual(await contents(channelId), ['', `${SECRET} 2`]);
    const written = (await exported(channelId)).filter((line) => line['encryptedContent'] !== undefined);
    assert.deepEqual(
      written.map((line) => [line.kind, line['senderId'] ?? null]),
      [
        ['message', '1'],
        ['version', null],
      ],
    );
  });
});
