import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Code } from '@connectrpc/connect';
import { AdminService } from '#gen/serp/discuss/v1/admin_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { type App, type As, app, type Edge } from '../../test/kit/app.ts';
import { assertError, rejects } from '../../test/kit/rejects.ts';
import { Subscriber } from '../../test/kit/stream.ts';
import { TenantStreamReader } from '../../test/kit/tenant-stream-reader.ts';
import { until } from '../../test/kit/until.ts';

const BOUND_MS = 5_000;

const operator: As = { userId: 0n, tenantId: 0n, roles: ['discuss.admin'] };
const places = [
  ['grpc', 0],
  ['web', 0],
  ['grpc', 1],
  ['web', 1],
] as const;

describe('AdminService.RevokeAccess', () => {
  let the: App;

  before(async () => {
    the = await app({ AUTH_CLOCK_TOLERANCE_MS: '0' });
    await the.start();
  });
  after(() => the.close());

  let lastTenant = 0n;
  let lastToken = 0;
  const newTenant = () => {
    lastTenant += 1n;
    return lastTenant;
  };
  const withNewToken = (as: As): As => {
    lastToken += 1;
    return { ...as, tokenId: `t${lastToken}` };
  };
  const admin = () => the.client(AdminService, operator);
  const revokeUser = (tenantId: bigint, userId: bigint) =>
    admin().revokeAccess({ subject: { case: 'user', value: { tenantId, userId } } });
  const subscribe = (as: As, edge: Edge, instance: number) =>
    new Subscriber(the.client(EventService, as, edge, instance)).connect();
  const list = (as: As, edge: Edge = 'grpc', instance = 0) =>
    the.client(ChannelService, as, edge, instance).listChannels({});
  const assertEnds = async (streams: readonly { readonly error: Subscriber['error'] }[]) => {
    await until(() => streams.every(({ error }) => error !== undefined), 'the end of the streams', BOUND_MS);
    for (const { error } of streams) assertError(error, Code.Unauthenticated, 'ACCESS_REVOKED');
  };
  const assertRejected = async (as: As) => {
    for (const [edge, instance] of places)
      await rejects(list(as, edge, instance), Code.Unauthenticated, 'ACCESS_REVOKED');
  };
  // The time of issue is in whole seconds.
  const nextSecond = () => sleep(1_000 - (Date.now() % 1_000) + 20);

  it('ends the streams and rejects the tokens of a user on every instance and edge', async () => {
    const tenantId = newTenant();
    const [ana, binh] = [withNewToken({ userId: 1n, tenantId }), withNewToken({ userId: 2n, tenantId })];
    const streams = await Promise.all(places.map(([edge, instance]) => subscribe(ana, edge, instance)));
    const other = await subscribe(binh, 'grpc', 1);
    for (const [edge, instance] of places) await list(ana, edge, instance);
    await revokeUser(tenantId, 1n);
    await assertEnds(streams);
    await assertRejected(ana);
    await assert.rejects(subscribe(ana, 'web', 1));
    await list(binh);
    await nextSecond();
    await list(withNewToken(ana), 'web', 1);
    await list(withNewToken({ ...ana, tenantId: newTenant() }));
    assert.equal(other.error, undefined);
    await other.disconnect();
  });

  it('revokes one token and no other of the same user', async () => {
    const as = { userId: 1n, tenantId: newTenant() };
    const [one, two] = [withNewToken(as), withNewToken(as)];
    const [first, second] = [await subscribe(one, 'grpc', 1), await subscribe(two, 'grpc', 1)];
    await admin().revokeAccess({ subject: { case: 'tokenId', value: one.tokenId ?? '' } });
    await assertEnds([first]);
    await assertRejected(one);
    await list(two);
    assert.equal(second.error, undefined);
    await second.disconnect();
  });

  it('revokes the users and services of a tenant, and services acting in it', async () => {
    const [tenantId, another] = [newTenant(), newTenant()];
    const roles = ['discuss.service'];
    const user = withNewToken({ userId: 1n, tenantId });
    const own = withNewToken({ userId: 0n, tenantId, roles });
    const all = withNewToken({ userId: 0n, tenantId: 0n, roles, tenants: '*' });
    const outside = withNewToken({ userId: 1n, tenantId: another });
    const reader = (as: As, headers = {}) =>
      new TenantStreamReader().connect(the.client(EventService, as, 'web', 1), { headers });
    const ended = [
      await subscribe(user, 'web', 1),
      await reader(own),
      await reader(all, { 'x-tenant-id': `${tenantId}` }),
    ];
    const open = [await subscribe(outside, 'web', 1), await reader(all)];
    await admin().revokeAccess({ subject: { case: 'tenantId', value: tenantId } });
    await assertEnds(ended);
    await assertRejected(user);
    await rejects(reader(own), Code.Unauthenticated, 'ACCESS_REVOKED');
    await list(outside);
    assert.deepEqual(
      open.map(({ error }) => error),
      [undefined, undefined],
    );
    await Promise.all(open.map((stream) => stream.disconnect()));
  });

  it('requires a subject and an operator', async () => {
    await rejects(admin().revokeAccess({}), Code.InvalidArgument, 'FIELD_INVALID');
    for (const value of [
      { tenantId: 0n, userId: 1n },
      { tenantId: 1n, userId: 0n },
    ])
      await rejects(
        admin().revokeAccess({ subject: { case: 'user', value } }),
        Code.InvalidArgument,
        'FIELD_INVALID',
      );
    await rejects(
      the.client(AdminService, { userId: 1n, tenantId: newTenant() }).revokeAccess({
        subject: { case: 'tenantId', value: 1n },
      }),
      Code.PermissionDenied,
      'CALLER_NOT_ALLOWED',
    );
  });

  it('ignores entries in Redis that no instance signed', async () => {
    const tenantId = newTenant();
    const ana = withNewToken({ userId: 1n, tenantId });
    await revokeUser(tenantId, 2n);
    const entries = await the.redis.client.hgetall('discuss:{revocations}');
    await the.redis.client.hset('discuss:{revocations}', {
      [`tenant:${tenantId}`]: entries[`user:${tenantId}:2`] ?? '',
      [`user:${tenantId}:1`]: Buffer.from(`${Date.now() + 5_000} ${Date.now() * 2}`).toString('base64'),
    });
    await the.redis.client.set('discuss:{revocations}:version', 'forged');
    await sleep(2_500);
    await list(ana, 'grpc', 0);
    await list(ana, 'grpc', 1);
  });

  it('holds while Redis is unavailable and after it lost its data, also for new instances', async () => {
    const tenantId = newTenant();
    const [ana, binh] = [withNewToken({ userId: 1n, tenantId }), withNewToken({ userId: 2n, tenantId })];
    const stream = await subscribe(binh, 'grpc', 1);
    await list(ana);
    await revokeUser(tenantId, 1n);
    await until(
      () =>
        list(ana, 'grpc', 1).then(
          () => false,
          () => true,
        ),
      'the revocation',
      BOUND_MS,
    );
    await the.redis.stop();
    await assertRejected(ana);
    await rejects(revokeUser(tenantId, 2n), Code.Unavailable, 'REVOCATION_PENDING');
    await rejects(list(binh), Code.Unauthenticated, 'ACCESS_REVOKED');
    assert.equal(stream.error, undefined);
    await the.redis.start();
    await assertEnds([stream]);
    await assertRejected(binh);
    await the.start();
    for (const as of [ana, binh])
      await until(
        () =>
          list(as, 'grpc', 2).then(
            () => false,
            () => true,
          ),
        'the revocation',
        BOUND_MS,
      );
  });
});
