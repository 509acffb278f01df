import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MemberRole, type Membership, NotificationLevel } from '#gen/serp/discuss/v1/member_pb.ts';
import { type App, type As, app } from '../../test/kit/app.ts';
import { byId, memberFixture, replay } from '../../test/kit/member-fixture.ts';
import { fieldsOf, rejects } from '../../test/kit/rejects.ts';
import { Subscriber } from '../../test/kit/stream.ts';
import { until } from '../../test/kit/until.ts';

const user = (id: number): As => ({ userId: BigInt(id), tenantId: 1n });
const [ana, binh, stranger] = [user(1), user(2), user(99)];
const foreigner = { userId: 1n, tenantId: 2n };
const crm = { userId: 0n, tenantId: 1n, roles: ['discuss.service'] };
const { MEMBER } = MemberRole;

describe('MemberService', () => {
  let the: App;

  before(async () => {
    the = await app();
    await the.start();
  });
  after(() => the.close());

  const { members, channels, groupByCalls: group, list, archive } = memberFixture(() => the);

  describe('UpdateMembership', () => {
    it('changes the fields in the mask, signals the caller’s streams, and appends an event for nicknames only', async () => {
      const channelId = await group({ 2: MEMBER });
      const before = await list(channelId);
      const [own, others] = await Promise.all([
        new Subscriber(the.client(EventService, binh, 'web', 1), [channelId]).connect(),
        new Subscriber(the.client(EventService, ana), [channelId]).connect(),
      ]);
      const { membership } = await members(binh).updateMembership({
        channelId,
        pinned: true,
        muted: true,
        notificationLevel: NotificationLevel.MENTIONS,
        updateMask: { paths: ['pinned', 'notification_level'] },
      });
      assert.deepEqual(
        [membership?.pinned, membership?.muted, membership?.notificationLevel],
        [true, false, NotificationLevel.MENTIONS],
      );
      const metadata = { nickname: 'Bình kho', color: '#f00', nested: { a_b: 1 } };
      const update = { channelId, metadata, updateMask: { paths: ['metadata', 'muted'] }, muted: true };
      const second = await members(binh).updateMembership(update);
      const third = await members(binh, 1).updateMembership(update);
      await until(() => own.count('membershipChanged') === 3);
      const versions = [membership, second.membership, third.membership].map((state) => state?.version);
      assert.deepEqual(versions, [2, 3, 4]);
      const newest = receivedBy(own).at(-1);
      assert.deepEqual(newest, third.membership);
      assert.deepEqual((await channels(binh).getChannel({ channelId })).membership, newest);
      assert.deepEqual(second.membership?.metadata, metadata);
      await until(() => others.events.length === 1);
      assert.deepEqual(replay(before, others), byId(await list(channelId)));
      assert.equal((await list(channelId))[1]?.nickname, 'Bình kho');
      await members(binh).updateMembership({ channelId, updateMask: { paths: ['metadata'] } });
      await until(() => others.events.length === 2);
      assert.deepEqual(replay(before, others), byId(await list(channelId)));
      assert.equal(others.count('membershipChanged'), 0);
      await Promise.all([own.disconnect(), others.disconnect()]);
    });

    it('has the highest version of concurrent changes, on streams, too', async () => {
      const channelId = await group({ 2: MEMBER });
      const stream = await new Subscriber(the.client(EventService, binh), [channelId]).connect();
      await Promise.all(
        Array.from({ length: 12 }, (_, index) =>
          members(binh, index % 2).updateMembership({
            channelId,
            pinned: index % 3 === 0,
            metadata: { color: `#${index}` },
            updateMask: { paths: ['pinned', 'metadata'] },
          }),
        ),
      );
      await until(() => stream.count('membershipChanged') === 12, 'all changes');
      const received = receivedBy(stream);
      assert.equal(new Set(received.map(({ version }) => version)).size, 12);
      assert.deepEqual(received.at(-1), (await channels(binh).getChannel({ channelId })).membership);
      await stream.disconnect();
    });

    it('rejects invalid values and changes the caller’s membership only', async () => {
      const [channelId, hidden] = [await group({ 2: MEMBER }), await group({}, true)];
      const set = (as: As, fields: object, id = channelId) =>
        members(as).updateMembership({ channelId: id, ...fields });
      const pin = { pinned: true, updateMask: { paths: ['pinned'] } };
      const updateMask = { paths: ['metadata'] };
      const wrong: [object, string][] = [
        [{ updateMask: { paths: [] } }, 'update_mask'],
        [{ updateMask: { paths: ['role'] } }, 'update_mask'],
        [{}, 'update_mask'],
        [{ updateMask: { paths: ['notification_level'] } }, 'notification_level'],
        [{ metadata: { nickname: 7 }, updateMask }, 'metadata'],
        [{ metadata: { nickname: 'ữ'.repeat(101) }, updateMask }, 'metadata'],
        [{ metadata: { text: 'x'.repeat(9_000) }, updateMask }, 'metadata'],
      ];
      for (const [fields, name] of wrong) assert.deepEqual(await fieldsOf(set(binh, fields)), [name]);
      await rejects(set(stranger, pin), Code.NotFound, 'MEMBER_NOT_FOUND');
      await rejects(set(stranger, pin, hidden), Code.NotFound, 'CHANNEL_NOT_FOUND');
      await rejects(set(foreigner, pin), Code.NotFound, 'CHANNEL_NOT_FOUND');
      await rejects(set(crm, pin), Code.PermissionDenied, 'CALLER_NOT_ALLOWED');
      await archive(channelId);
      await set(binh, pin);
      assert.equal((await channels(ana).getChannel({ channelId })).membership?.pinned, false);
    });
  });
});

/** The changed settings that a stream received, by version. */
function receivedBy(stream: Subscriber): Membership[] {
  return stream.others
    .filter((payload) => payload.case === 'membershipChanged')
    .flatMap(({ value }) => value.membership ?? [])
    .sort((a, b) => a.version - b.version);
}
