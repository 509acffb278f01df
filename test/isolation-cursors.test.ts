import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code, createClient } from '@connectrpc/connect';
import { BadRequestSchema } from '#gen/google/rpc/error_details_pb.ts';
import { ActivityService } from '#gen/serp/discuss/v1/activity_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import {
  ChannelClosedReason,
  EventService,
  type StreamTenantEventsResponse,
  type SubscribeResponse,
  TenantStreamResetReason,
} from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { post, readUntil } from './isolation/event-trials.ts';
import { ana, binh, type Fixture, openFixture, SECRET, service, TENANT } from './isolation/fixture.ts';
import { rejectsToken } from './isolation/token-trials.ts';
import { toText } from './isolation/trial.ts';
import type { As } from './kit/app.ts';
import { rejects } from './kit/rejects.ts';

const outsiders: Readonly<Record<string, As>> = {
  'another user of the tenant': { userId: 3n, tenantId: TENANT },
  'a former member': { userId: 4n, tenantId: TENANT },
  'a user of another tenant with the id of a member': { userId: 1n, tenantId: 2n },
};
const foreignService: As = { ...service, tenantId: 2n };
const globalService: As = { ...service, tenantId: 0n, tenants: '*' };

for (const edge of ['grpc', 'web'] as const)
  describe(`cursors of other callers on the ${edge} edge`, () => {
    let fixture: Fixture;

    const events = (as: As) => createClient(EventService, fixture.app.transport(as, edge, 0));
    const victims = () => {
      const { group, direct, formerDirect, topic } = fixture;
      return [group, direct, formerDirect, topic].map(({ channelId }) => channelId);
    };

    before(async () => {
      fixture = await openFixture();
    });
    after(() => fixture.close());

    for (const [outsider, as] of Object.entries(outsiders)) {
      it(`Subscribe closes the channels of the cursors of a member for ${outsider}`, async () => {
        const own = await createChannel(as);
        const responses = await subscribe(as, own, victims());
        const closed = responses.flatMap(({ payload }) =>
          payload.case === 'channelClosed' ? [payload.value] : [],
        );
        assert.deepEqual(new Set(closed.map(({ channelId }) => channelId)), new Set(victims()));
        for (const { reason } of closed) assert.equal(reason, ChannelClosedReason.NOT_MEMBER);
        const others = responses.filter(({ payload }) => payload.case !== 'channelClosed');
        assert.ok(!toText(others).includes(SECRET));
        const started = others.flatMap(({ payload }) =>
          payload.case === 'started' ? payload.value.channels.map(({ channelId }) => channelId) : [],
        );
        assert.ok(started.includes(own) && !started.some((id) => victims().includes(id)));
      });

      it(`Subscribe to a channel is NOT_FOUND for ${outsider} with the cursor of a member`, async () => {
        for (const channelId of victims()) {
          const request = { channelIds: [channelId], cursors: [{ channelId, seq: 1n }] };
          const response = readUntil(
            (options) => events(as).subscribe(request, options),
            () => true,
          );
          await rejects(response, Code.NotFound, 'CHANNEL_NOT_FOUND');
        }
      });
    }

    it('StreamTenantEvents continues with events of its own tenants from the cursors of others', async () => {
      const marker = await post(fixture.app, TENANT);
      const cursors: string[] = [];
      for (const as of [service, globalService])
        cursors.push(...(await readTenant(as, '', marker)).map(({ cursor }) => cursor));
      const own = await post(fixture.app, 2n);
      for (const cursor of new Set([cursors[0], cursors[5], cursors.at(-1)])) {
        const responses = await readTenant(foreignService, cursor ?? '', own);
        assertTenant(responses, 2n);
      }
    });

    it('StreamTenantEvents gives a cursor of another history a reset, and events of its own tenant', async () => {
      const own = await post(fixture.app, 2n);
      const [first] = await readTenant(service, '', await post(fixture.app, TENANT));
      const bytes = Buffer.from(first?.cursor ?? '', 'base64url');
      bytes[7] = (bytes[7] ?? 0) ^ 1;
      const responses = await readTenant(foreignService, bytes.toString('base64url'), own);
      const resets = responses.flatMap(({ payload }) => (payload.case === 'reset' ? [payload.value] : []));
      assert.deepEqual(
        resets.map(({ reason }) => reason),
        [TenantStreamResetReason.HISTORY_CHANGED],
      );
      assertTenant(responses, 2n);
    });

    it('StreamTenantEvents rejects tokens of other methods, and no method takes its cursor', async () => {
      const { app, group } = fixture;
      const messages = app.client(MessageService, binh);
      const page = { channelId: group.channelId, pageSize: 1 };
      const { nextPageToken } = await messages.listMessages(page);
      const { snapshotToken } = await app.client(ActivityService, binh).getActivityCounts({});
      const [first] = await readTenant(service, '', await post(app, TENANT));
      const cursor = first?.cursor ?? '';
      const negative = Buffer.alloc(24, 0xff).toString('base64url');
      for (const token of [nextPageToken, snapshotToken, cursor.slice(0, -1), `${cursor}AAAA`, negative]) {
        const response = readTenant(service, token, '');
        const error = await rejects(response, Code.InvalidArgument, 'FIELD_INVALID');
        const [details] = error.findDetails(BadRequestSchema);
        assert.equal(details?.fieldViolations[0]?.field, 'cursor');
      }
      await rejectsToken(messages.listMessages({ ...page, pageToken: cursor }));
      const marking = app.client(ActivityService, binh).markAllActivitiesRead({ snapshotToken: cursor });
      await rejects(marking, Code.InvalidArgument, 'FIELD_INVALID');
    });

    it('MarkAllActivitiesRead with the snapshot of another user marks nothing of that user', async () => {
      const client = (as: As) => fixture.app.client(ActivityService, as, edge);
      const { snapshotToken, unreadCount } = await client(binh).getActivityCounts({});
      assert.ok(unreadCount > 0);
      for (const as of Object.values(outsiders)) await client(as).markAllActivitiesRead({ snapshotToken });
      assert.equal((await client(binh).getActivityCounts({})).unreadCount, unreadCount);
    });

    /** Reads a stream from the cursors of other channels, to a message of the own channel posted after one in each. */
    function subscribe(as: As, own: bigint, channelIds: readonly bigint[]): Promise<SubscribeResponse[]> {
      const cursors = channelIds.map((channelId) => ({ channelId, seq: 1n }));
      return readUntil(
        (options) => events(as).subscribe({ cursors }, options),
        ({ payload }) => {
          if (payload.case === 'started') void postInAll(as, own, channelIds);
          return payload.case === 'event' && payload.value.channelId === own;
        },
      );
    }

    async function postInAll(as: As, own: bigint, channelIds: readonly bigint[]): Promise<void> {
      for (const channelId of channelIds)
        await fixture.app.client(MessageService, ana).sendMessage({ channelId, content: SECRET });
      await fixture.app.client(MessageService, as).sendMessage({ channelId: own, content: 'mốc' });
    }

    async function createChannel(as: As): Promise<bigint> {
      const { channel } = await fixture.app
        .client(ChannelService, as)
        .createChannel({ name: 'của riêng tôi' });
      return channel?.id ?? 0n;
    }

    /** Reads from a cursor, or the oldest event, to the message with the marker. */
    function readTenant(as: As, cursor: string, marker: string): Promise<StreamTenantEventsResponse[]> {
      return readUntil(
        (options) => events(as).streamTenantEvents({ cursor, fromOldest: true }, options),
        ({ payload }) =>
          payload.case === 'event' &&
          payload.value.event?.change.case === 'messageCreated' &&
          payload.value.event.change.value.message?.content === marker,
      );
    }
  });

function assertTenant(responses: readonly StreamTenantEventsResponse[], tenantId: bigint): void {
  const tenants = responses.flatMap(({ payload }) =>
    payload.case === 'event' ? [payload.value.tenantId] : [],
  );
  assert.deepEqual(new Set(tenants), new Set([tenantId]));
}
