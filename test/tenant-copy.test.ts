import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { toJson } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { ChannelSchema } from '#gen/serp/discuss/v1/channel_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MemberRole, MemberRoleSchema, MemberSchema } from '#gen/serp/discuss/v1/member_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageSchema, MessageType } from '#gen/serp/discuss/v1/message_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app, CONCURRENT } from './kit/app.ts';
import { createRandom } from './kit/random.ts';
import { TenantCopy } from './kit/tenant-copy.ts';
import { TenantStreamReader } from './kit/tenant-stream-reader.ts';
import { until } from './kit/until.ts';

const DAY_MS = 86_400_000;
const WRITERS = 4;
const TENANT = 1n;
const users: readonly As[] = [1n, 2n, 3n, 4n].map((userId) => ({ userId, tenantId: TENANT }));
const owner: As = { userId: 1n, tenantId: TENANT };
// Without a tenant of its own: it names each one that it serves.
const service: As = {
  userId: 0n,
  tenantId: 0n,
  roles: ['discuss.service'],
  tenants: [TENANT],
  actsIn: TENANT,
};

const expected: readonly Code[] = [Code.NotFound, Code.PermissionDenied, Code.FailedPrecondition];

describe('a service that keeps a copy of a tenant', () => {
  let the: App;
  const random = createRandom(20_261_127);
  const channelIds: bigint[] = [];
  const messageIds = new Map<bigint, bigint[]>();
  let written = 0;

  before(async () => {
    the = await app({ ...CONCURRENT, EVENT_REPLAY_PAGE: '20', EVENT_HEARTBEAT_MS: '100' });
    await the.start();
    for (let index = 0; index < 6; index += 1) await createChannel();
  });
  after(() => the.close());

  it('follows the instructions of RESET while others write, and then has the state of the database', async () => {
    console.log(`# seed ${random.seed}`);
    const copy = new TenantCopy();
    const reader = new TenantStreamReader({ fromOldest: true });
    const connect = (instance: number) =>
      reader.connect(the.client(EventService, service, instance === 0 ? 'grpc' : 'web', instance));
    await connect(0);
    for (let index = 0; index < 60; index += 1) await act();
    await until(() => reader.events.length > 20, 'events before the pause');
    await reader.disconnect();
    // Lost: the consumer is away for longer than the log is kept.
    for (let index = 0; index < 60; index += 1) await act();
    await the.owner`select drop_old_event_partitions(1, ${Date.now() + 2 * DAY_MS})`;
    await the.owner`select ensure_partitions()`;

    let busy = true;
    const writers = Array.from({ length: WRITERS }, async () => {
      while (busy) await act();
    });
    const start = written;
    await until(() => written > start + 150, 'events after the reset', 60_000);
    await connect(1);
    await until(() => reader.count('reset') === 1, 'the reset');
    await reader.disconnect();
    const at = reader.received.findIndex(({ payload }) => payload.case === 'reset');
    reader.cursor = reader.received[at]?.cursor ?? '';
    reader.received.length = 0;
    const read = written;
    await copy.read(the, service, 'web');
    await until(() => written > read + 100, 'changes since the copy was read', 60_000);
    await connect(0);
    busy = false;
    await Promise.all(writers);
    const heads = await readHeads();
    let applied = 0;
    await until(() => {
      for (const event of reader.events.slice(applied)) copy.apply(event);
      applied = reader.events.length;
      return [...heads].every(([id, seq]) => (copy.channels.get(id)?.lastSeq ?? 0n) >= seq);
    }, 'all events');
    await reader.disconnect();

    const fresh = new TenantCopy();
    await fresh.read(the, service);
    assert.deepEqual(toText(copy), toText(fresh));
    assert.deepEqual(toRows(fresh), await readRows());
    const old = [...copy.channels].filter(([, { headSeq, lastSeq }]) => headSeq > 0n && lastSeq > headSeq);
    assert.ok(old.length > 0, 'no channel changed after it was read');
  });

  async function createChannel(): Promise<void> {
    const fields = { name: `Kho ${written}`, private: written % 2 === 0, memberUserIds: [2n, 3n] };
    const { channel } = await the.client(ChannelService, owner).createChannel(fields);
    channelIds.push(channel?.id ?? 0n);
    messageIds.set(channel?.id ?? 0n, []);
  }

  /** A random change by a random user, most of them in the same few channels. */
  async function act(): Promise<void> {
    written += 1;
    const as = random.pick(users);
    const instance = random.below(2);
    const channelId = random.pick(random.below(5) === 0 ? channelIds : channelIds.slice(1, 4));
    const ids = messageIds.get(channelId) ?? [];
    const chance = random.below(100);
    try {
      if (chance < 2) await createChannel();
      else if (chance < 20) await changeChannel(chance, channelId, instance);
      else if (ids.length < 3 || chance < 45) await post(chance, as, channelId, ids, instance);
      else await changeMessage(chance, as, channelId, random.pick(ids), instance);
    } catch (error) {
      if (!expected.includes(ConnectError.from(error).code)) throw error;
    }
  }

  async function changeChannel(chance: number, channelId: bigint, instance: number): Promise<void> {
    const channels = the.client(ChannelService, owner, 'grpc', instance);
    const members = the.client(MemberService, owner, 'grpc', instance);
    const updateMask = { paths: ['name'] };
    if (chance < 4 && !channelIds.slice(0, 4).includes(channelId))
      await channels.deleteChannel({ channelId });
    else if (chance < 6) await channels.archiveChannel({ channelId });
    else if (chance < 12) await channels.unarchiveChannel({ channelId });
    else if (chance < 15) await channels.updateChannel({ channelId, name: `Kho ${written}`, updateMask });
    else if (chance < 18) await members.addMembers({ channelId, userIds: [4n] });
    else if (chance < 19) await members.removeMember({ channelId, userId: random.pick([3n, 4n]) });
    else
      await members.updateMemberRole({
        channelId,
        userId: 2n,
        role: random.pick([MemberRole.ADMIN, MemberRole.GUEST]),
      });
  }

  async function post(
    chance: number,
    as: As,
    channelId: bigint,
    ids: bigint[],
    instance: number,
  ): Promise<void> {
    const replyToMessageId = chance < 38 && ids.length > 0 ? random.pick(ids) : 0n;
    const fields =
      chance < 23
        ? { type: MessageType.POLL, poll: { options: ['a', 'b'] } }
        : { replyToMessageId, mentionUserIds: [2n] };
    const content = `tin ${written}`;
    const { message } = await the
      .client(MessageService, as, 'grpc', instance)
      .sendMessage({ channelId, content, ...fields });
    ids.push(message?.id ?? 0n);
  }

  async function changeMessage(
    chance: number,
    as: As,
    channelId: bigint,
    messageId: bigint,
    instance: number,
  ): Promise<void> {
    const client = the.client(MessageService, as, 'grpc', instance);
    const emoji = random.pick(['👍', '❤️', ':kho:']);
    const updateMask = { paths: ['content'] };
    if (chance < 52)
      await client.editMessage({ channelId, messageId, content: `sửa ${written}`, updateMask });
    else if (chance < 56) await client.deleteMessage({ channelId, messageId });
    else if (chance < 74) await client.addReaction({ channelId, messageId, emoji });
    else if (chance < 84) await client.removeReaction({ channelId, messageId, emoji });
    else if (chance < 92) await client.votePoll({ channelId, messageId, optionIds: [random.pick([1, 2])] });
    else if (chance < 96) await client.pinMessage({ channelId, messageId });
    else await client.unpinMessage({ channelId, messageId });
  }

  async function readHeads(): Promise<Map<bigint, bigint>> {
    const rows = await the.owner<{ id: bigint; eventSeq: bigint }[]>`
      select id, event_seq from channels where deleted_at is null
    `;
    return new Map(rows.map(({ id, eventSeq }) => [id, eventSeq]));
  }

  async function readRows(): Promise<string[]> {
    const rows = await the.owner<{ row: string }[]>`
      select concat_ws(' ', 'channel', id, name, is_archived) as row
      from channels
      where deleted_at is null
      union all
      select concat_ws(' ', 'member', m.channel_id, m.user_id, m.role)
      from channel_members m
      join channels c on c.id = m.channel_id
      where m.status = 'ACTIVE' and c.deleted_at is null
      union all
      select concat_ws(' ', 'message', m.id, m.post_seq, m.is_deleted, m.thread_count, m.pinned_at is not null)
      from messages m
      join channels c on c.id = m.channel_id
      where c.deleted_at is null
    `;
    return rows.map(({ row }) => row).toSorted();
  }
});

/** The copy without counts of the channel, which events do not contain. */
function toText({ channels }: TenantCopy): Record<string, unknown> {
  const entries = [...channels].map(([id, { channel, members, history }]) => {
    const { memberCount, messageCount, lastMessageTime, updateTime, ...settings } = Object(
      channel === undefined ? {} : toJson(ChannelSchema, channel),
    );
    const sorted = [...members.values()].toSorted((a, b) => Number(a.userId - b.userId));
    const messages = [...history.messages.values()].toSorted((a, b) => Number(a.id - b.id));
    const content = {
      settings,
      members: sorted.map((member) => toJson(MemberSchema, member)),
      messages: messages.map((message) => toJson(MessageSchema, message)),
    };
    return [`${id}`, content];
  });
  return Object.fromEntries(entries);
}

/** The copy in the form of `readRows`. */
function toRows({ channels }: TenantCopy): string[] {
  const boolean = (value: boolean) => (value ? 't' : 'f');
  const rows = [...channels].flatMap(([id, { channel, members, history }]) => [
    `channel ${id} ${channel?.name} ${boolean(channel?.archived ?? false)}`,
    ...[...members.values()].map(({ userId, role }) => `member ${id} ${userId} ${toRole(role)}`),
    ...[...history.messages.values()].map(
      (message) =>
        `message ${message.id} ${message.position} ${boolean(message.deleteTime !== undefined)} ` +
        `${message.replyCount} ${boolean(message.pinTime !== undefined)}`,
    ),
  ]);
  return rows.toSorted();
}

function toRole(role: MemberRole): string | undefined {
  return MemberRoleSchema.value[role]?.name.slice('MEMBER_ROLE_'.length);
}
