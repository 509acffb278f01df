import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { AdminService } from '#gen/serp/discuss/v1/admin_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app } from '../../test/kit/app.ts';
import { rejects } from '../../test/kit/rejects.ts';
import { until } from '../../test/kit/until.ts';

const ana: As = { userId: 1n, tenantId: 1n };
const binh: As = { userId: 2n, tenantId: 1n };
const crm: As = { userId: 0n, tenantId: 1n, roles: ['discuss.service'] };
const operator: As = { userId: 7n, tenantId: 0n, roles: ['discuss.admin'] };
const TENANT = { tenantId: 1n };
const DAY_MS = 86_400_000n;

describe('legal holds', () => {
  let the: App;
  let lastId = 0n;

  before(async () => {
    the = await app({ RETENTION_INTERVAL_MS: '0', MAINTENANCE_INTERVAL_MS: '0' });
  });
  after(() => the.close());

  const admin = (edge: 'grpc' | 'web' = 'grpc') => the.client(AdminService, operator, edge);
  const channels = (as = ana) => the.client(ChannelService, as);
  const group = async () => {
    const { channel } = await channels().createChannel({ name: 'Kho', memberUserIds: [2n] });
    return channel?.id ?? 0n;
  };
  /** A message that was deleted long ago. */
  const deleted = async (channelId: bigint, as = ana) => {
    const messages = the.client(MessageService, as);
    const { message } = await messages.sendMessage({ channelId, content: 'x' });
    const messageId = message?.id ?? 0n;
    await messages.deleteMessage({ channelId, messageId });
    await the.owner`update messages set deleted_at = now_ms() - ${91n * DAY_MS} where id = ${messageId}`;
    return messageId;
  };
  const record = async (fields: {
    channelId?: bigint;
    entityId?: bigint;
    userId?: bigint;
    actorId?: bigint;
  }) => {
    lastId += 1n;
    const entityId = fields.entityId ?? 1_000_000n + lastId;
    const [row] = await the.owner<{ id: bigint }[]>`
      insert into activity_feed
        (tenant_id, user_id, action_type, actor_id, entity_type, entity_id, channel_id, description, "timestamp", created_at)
      values (
        1, ${fields.userId ?? 50n}, 'X', ${fields.actorId ?? 51n}, 'order', ${entityId}, ${fields.channelId ?? null}, 'x',
        now_ms() - ${400n * DAY_MS}, 1
      )
      returning id
    `;
    return row?.id ?? 0n;
  };
  const purge = () => admin().runRetention({});
  const left = async (table: string, ids: readonly bigint[]) => {
    const rows = await the.owner<{ id: bigint }[]>`
      select id from ${the.owner(table)} where id = any(${ids.map(String)}::bigint[]) order by id
    `;
    return rows.map(({ id }) => id);
  };
  const age = (channelId: bigint) => the.owner`
    update channels
    set created_at = now_ms() - ${200n * DAY_MS}, updated_at = now_ms() - ${200n * DAY_MS}, last_message_at = null
    where id = ${channelId}
  `;

  it('on a channel keep its messages, activities and deletion, and keep it from being archived', async () => {
    const [kept, other, removed] = [await group(), await group(), await group()];
    const { hold } = await admin().placeHold({
      ...TENANT,
      subject: { case: 'channelId', value: kept },
      reason: 'Vụ 12',
    });
    await admin().placeHold({ ...TENANT, subject: { case: 'channelId', value: removed }, reason: 'Vụ 12' });
    await channels().deleteChannel({ channelId: removed });
    await the.owner`update channels set deleted_at = now_ms() - ${91n * DAY_MS} where id = ${removed}`;
    const messages = [await deleted(kept), await deleted(other)];
    const activities = [await record({ channelId: kept }), await record({ channelId: other })];
    // Not those of the messages: the removal of one is a change of its channel.
    const [quiet, archived] = [await group(), await group()];
    const { hold: another } = await admin().placeHold({
      ...TENANT,
      subject: { case: 'channelId', value: quiet },
      reason: 'Vụ 12',
    });
    for (const channelId of [quiet, archived]) await age(channelId);
    await the.owner`select ensure_partitions()`;
    const first = await purge();
    assert.deepEqual(
      [first.removedMessageCount, first.removedActivityCount, first.archivedChannelCount],
      [1, 1, 1],
    );
    assert.deepEqual(await left('messages', messages), messages.slice(0, 1));
    assert.deepEqual(await left('activity_feed', activities), activities.slice(0, 1));
    assert.deepEqual(await left('channels', [removed]), [removed]);
    assert.equal((await channels().getChannel({ channelId: quiet })).channel?.archived, false);
    await admin().releaseHold({ ...TENANT, holdId: another?.id ?? 0n });
    const { hold: released } = await admin().releaseHold({ ...TENANT, holdId: hold?.id ?? 0n });
    assert.deepEqual([released?.releaserId, released?.reason], [7n, 'Vụ 12']);
    const second = await purge();
    assert.deepEqual(
      [second.removedMessageCount, second.removedActivityCount, second.archivedChannelCount],
      [1, 1, 1],
    );
    assert.deepEqual(await left('channels', [removed]), [removed]);
  });

  it('on a user keep the messages that the user sent, and activities for and by the user', async () => {
    const channelId = await group();
    await admin().placeHold({ ...TENANT, subject: { case: 'userId', value: 2n }, reason: 'Vụ 13' });
    const messages = [await deleted(channelId, binh), await deleted(channelId)];
    const gone = await group();
    messages.push(await deleted(gone, binh));
    await channels().deleteChannel({ channelId: gone });
    await the.owner`update channels set deleted_at = now_ms() - ${91n * DAY_MS} where id = ${gone}`;
    const activities = [await record({ userId: 2n }), await record({ actorId: 2n }), await record({})];
    await the.owner`select ensure_partitions()`;
    await purge();
    assert.deepEqual(await left('messages', messages), [messages[0], messages[2]]);
    assert.deepEqual(await left('channels', [gone]), [gone]);
    assert.deepEqual(await left('activity_feed', activities), activities.slice(0, 2));
  });

  it('on an entity keep its activities and the channel of its discussion, also one that it was moved to', async () => {
    const topic = async (id: bigint) => {
      const entity = { type: 'order', id };
      const request = { entity, name: 'Đơn', memberUserIds: [1n] };
      return (await channels(crm).getOrCreateTopicChannel(request)).channel?.id ?? 0n;
    };
    const [own, moved, other] = [await topic(1n), await topic(2n), await topic(3n)];
    await channels(crm).moveTopic({
      fromEntity: { type: 'order', id: 2n },
      toEntity: { type: 'invoice', id: 2n },
    });
    for (const id of [1n, 2n])
      await admin().placeHold({
        ...TENANT,
        subject: { case: 'entity', value: { type: 'order', id } },
        reason: 'Vụ 14',
      });
    const messages = [await deleted(own), await deleted(moved), await deleted(other)];
    const activities = [await record({ entityId: 1n }), await record({ entityId: 3n })];
    await purge();
    assert.deepEqual(await left('messages', messages), messages.slice(0, 2));
    assert.deepEqual(await left('activity_feed', activities), activities.slice(0, 1));
  });

  it('concern their own tenant only', async () => {
    const channelId = await group();
    const subject = { case: 'channelId', value: channelId } as const;
    await admin().placeHold({ tenantId: 2n, subject, reason: 'Vụ 15' });
    const messageId = await deleted(channelId);
    await purge();
    assert.deepEqual(await left('messages', [messageId]), []);
  });

  it('are placed and released once by repeated calls, and listed newest first', async () => {
    const tenantId = 9n;
    const place = (value: bigint, reason = 'Vụ 16') =>
      admin('web').placeHold({ tenantId, subject: { case: 'userId', value }, reason });
    const [first, second] = [(await place(1n)).hold, (await place(2n)).hold];
    assert.deepEqual((await place(1n, 'khác')).hold, first);
    assert.deepEqual(
      [first?.tenantId, first?.subject, first?.placerId],
      [tenantId, { case: 'userId', value: 1n }, 7n],
    );
    const list = async (includeReleased: boolean) => {
      const page = await admin().listHolds({ tenantId, includeReleased, pageSize: 1 });
      const next = await admin('web').listHolds({
        tenantId,
        includeReleased,
        pageSize: 1,
        pageToken: page.nextPageToken,
      });
      return [...page.holds, ...(page.nextPageToken === '' ? [] : next.holds)];
    };
    assert.deepEqual(await list(false), [second, first]);
    const { hold: released } = await admin().releaseHold({ tenantId, holdId: first?.id ?? 0n });
    assert.ok(released?.releaseTime !== undefined);
    assert.deepEqual((await admin().releaseHold({ tenantId, holdId: first?.id ?? 0n })).hold, released);
    assert.deepEqual([await list(false), await list(true)], [[second], [second, released]]);
    assert.notEqual((await place(1n)).hold?.id, first?.id, 'a released hold can be placed again');
    const foreign = admin().releaseHold({ tenantId: 8n, holdId: second?.id ?? 0n });
    await rejects(foreign, Code.InvalidArgument, 'FIELD_INVALID');
    const nothing = admin().placeHold({ tenantId, reason: 'x' });
    await rejects(nothing, Code.InvalidArgument, 'FIELD_INVALID');
  });

  it('wait for a purge that is running, so that none removes anything after the response', async () => {
    const channelId = await group();
    const messageId = await deleted(channelId);
    let placed = false;
    const placing = the.owner.begin(async (sql) => {
      await sql`select purge_deleted_messages(${100_000n * DAY_MS}, 10)`;
      const call = admin()
        .placeHold({ ...TENANT, subject: { case: 'channelId', value: channelId }, reason: 'Vụ 17' })
        .then(() => {
          placed = true;
        });
      await until(async () => {
        const [row] = await the.owner<{ n: number }[]>`
          select count(*)::int as n from pg_stat_activity where datname = current_database() and wait_event = 'advisory'
        `;
        return row?.n === 1;
      }, 'the call waits');
      assert.equal(placed, false);
      return { call };
    });
    await (await placing).call;
    await purge();
    assert.deepEqual(await left('messages', [messageId]), [messageId]);
  });
});
