import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import type { EntityActivity } from '#gen/serp/discuss/v1/activity_pb.ts';
import { ActivityService } from '#gen/serp/discuss/v1/activity_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { type App, type As, app, type Edge } from '../../test/kit/app.ts';
import { rejects } from '../../test/kit/rejects.ts';

const user = (id: number, tenantId = 1n): As => ({ userId: BigInt(id), tenantId });
const [ana, binh, chi] = [user(1), user(2), user(3)];
const crm: As = { userId: 0n, tenantId: 1n, roles: ['discuss.service'] };

describe('the timeline of an entity', () => {
  let the: App;
  let lastId = 0n;

  before(async () => {
    the = await app();
  });
  after(() => the.close());

  const activities = (as: As, edge: Edge = 'grpc') => the.client(ActivityService, as, edge);
  const channels = (as: As) => the.client(ChannelService, as);
  /** An order with a topic of Ana and Binh, whose additions are not in the timeline. */
  const order = async () => {
    lastId += 1n;
    const entity = { type: 'order', id: lastId };
    const { channel } = await channels(crm).getOrCreateTopicChannel({
      entity,
      name: 'Đơn',
      memberUserIds: [1n, 2n],
    });
    const channelId = channel?.id ?? 0n;
    await the.owner`delete from activity_feed where channel_id = ${channelId}`;
    return { entity, channelId };
  };
  const record = (description: string, userIds: bigint[], fields: object, as = crm) =>
    activities(as).recordActivities({
      activities: [{ type: 'ORDER_PAID', description, userIds, ...fields }],
    });
  const list = async (entity: { type: string; id: bigint }, as = ana, edge: Edge = 'grpc', pageSize = 2) => {
    const found: EntityActivity[] = [];
    for (let pageToken = ''; ; ) {
      const page = await activities(as, edge).listEntityActivities({ entity, pageSize, pageToken });
      found.push(...page.activities);
      if (page.nextPageToken === '') return found;
      pageToken = page.nextPageToken;
    }
  };
  const texts = (found: readonly EntityActivity[]) =>
    found.map(({ description, userId }) => `${description} ${userId}`);

  it('has the activities of all users, newest first, on both edges and in pages', async () => {
    const { entity, channelId } = await order();
    await record('một', [7n, 8n], { entity, metadata: { amount: 5 }, title: 'Đơn', actorId: 1n });
    await record('hai', [2n], { entity, channelId, collapseKey: 'crm:1' });
    await record('ba', [9n], { entity });
    await record('khác', [1n], { entity: { type: 'task', id: entity.id } });
    await record('hai', [2n], { entity, channelId, collapseKey: 'crm:1' });
    const found = await list(entity);
    assert.deepEqual(texts(found), ['hai 2', 'ba 9', 'một 8', 'một 7']);
    const [two, , first] = found;
    assert.deepEqual([two?.count, two?.channelId, first?.channelId], [2, channelId, 0n]);
    assert.deepEqual(
      [first?.type, first?.actorId, first?.title, first?.metadata],
      ['ORDER_PAID', 1n, 'Đơn', { amount: 5 }],
    );
    const { activities: own } = await activities(binh).listActivities({ entity });
    assert.deepEqual([own[0]?.id, own[0]?.activityTime], [two?.id, two?.activityTime]);
    for (const as of [ana, binh, crm, { ...ana, roles: ['discuss.service'] }])
      for (const pageSize of [1, 3, 100]) assert.deepEqual(await list(entity, as, 'web', pageSize), found);
  });

  it('is not shown to users who are not members of the topic, whatever is in their own feeds', async () => {
    const { entity, channelId } = await order();
    await record('của Chi', [3n], { entity });
    const isHidden = (as: As) => rejects(list(entity, as), Code.NotFound, 'CHANNEL_NOT_FOUND');
    const foreign = { userId: 0n, tenantId: 2n, roles: ['discuss.service'] };
    for (const as of [chi, { ...chi, roles: ['discuss.service'] }, user(1, 2n), foreign]) await isHidden(as);
    await channels(crm).getOrCreateTopicChannel({ entity, name: 'x', memberUserIds: [3n] });
    assert.equal((await list(entity, chi)).length, 2);
    await the.client(MemberService, chi).leaveChannel({ channelId });
    await isHidden(chi);
    await isHidden({ ...ana, tenantId: 2n });
    const none = list({ type: 'order', id: 999_999n });
    await rejects(none, Code.NotFound, 'CHANNEL_NOT_FOUND');
    await channels(crm).deleteChannel({ channelId });
    await isHidden(ana);
  });

  it('leaves out other channels and tenants', async () => {
    const { entity } = await order();
    const { channel } = await channels(ana).createChannel({ name: 'riêng', private: true });
    await record('riêng', [1n], { entity, channelId: channel?.id });
    const other: As = { userId: 0n, tenantId: 2n, roles: ['discuss.service'] };
    await record('tenant 2', [1n], { entity }, other);
    assert.deepEqual(await list(entity), []);
    assert.equal((await activities(ana).listActivities({ entity })).activities.length, 1);
  });

  it('remains of an entity whose discussion was moved', async () => {
    const { entity, channelId } = await order();
    await record('trước', [7n], { entity });
    const toEntity = { type: 'invoice', id: entity.id };
    await channels(crm).moveTopic({ fromEntity: entity, toEntity });
    await record('sau', [7n], { entity: toEntity });
    assert.deepEqual([texts(await list(entity)), texts(await list(toEntity))], [['trước 7'], ['sau 7']]);
    await the.client(MemberService, binh).leaveChannel({ channelId });
    await rejects(list(entity, binh), Code.NotFound, 'CHANNEL_NOT_FOUND');
  });

  it('is read from its index, in its order', async () => {
    const { entity } = await order();
    const rows = await the.owner.begin(async (sql) => {
      await sql`set local enable_seqscan = off`;
      await sql`set local enable_bitmapscan = off`;
      return sql`
        explain select a.id
        from activity_feed a
        where a.tenant_id = 1
          and a.entity_type = ${entity.type}
          and a.entity_id = ${entity.id}
          and (a.channel_id is null or a.channel_id = 1)
          and a."timestamp" <= 2000000000000
          and (a."timestamp", a.id) < (2000000000000, 5)
        order by a."timestamp" desc, a.id desc
        limit 50
      `;
    });
    const plan = rows.map((row) => Object.values(row).join()).join('\n');
    assert.match(plan, /Index Scan using activity_feed_\w+_tenant_id_entity_type_entity_id_/);
    assert.doesNotMatch(plan, /-> +(Incremental )?Sort/);
  });
});
