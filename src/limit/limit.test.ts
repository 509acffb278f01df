import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { Code, ConnectError } from '@connectrpc/connect';
import { QuotaFailureSchema, RetryInfoSchema } from '#gen/google/rpc/error_details_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { type App, type As, app } from '../../test/kit/app.ts';
import { limitScripts } from '../../test/kit/limit-scripts.ts';
import { rejects } from '../../test/kit/rejects.ts';
import { Subscriber } from '../../test/kit/stream.ts';
import { TenantStreamReader } from '../../test/kit/tenant-stream-reader.ts';
import { until } from '../../test/kit/until.ts';
import type { RedisClient } from '../redis/client.ts';

describe('rate limits over several instances', () => {
  let the: App;
  let lastTenant = 0n;
  let tenantId: bigint;
  let redis: RedisClient;
  const open: Subscriber[] = [];

  before(async () => {
    the = await app({
      LIMIT_READ_PER_MINUTE: '20',
      LIMIT_STREAM_OPENS_PER_MINUTE: '20',
      LIMIT_TENANT_PER_MINUTE: '50',
      LIMIT_TENANT_BURST_MS: '60000',
      LIMIT_STREAMS_PER_USER: '3',
      LIMIT_STREAMS_PER_TENANT: '5',
      LIMIT_STREAM_LEASE_MS: '1500',
      // All instances and clients run in this process, which may be slow.
      LIMIT_REDIS_TIMEOUT_MS: '2000',
      LIMIT_REJECTION_DELAY_MS: '20',
    });
    await the.start();
    for (const { deps } of the.instances) await until(() => deps.redis.status === 'ready');
    redis = the.redis.client;
  });
  beforeEach(() => {
    lastTenant += 1n;
    tenantId = lastTenant;
  });
  afterEach(() => Promise.all(open.splice(0).map((subscriber) => subscriber.disconnect())));
  after(() => the.close());

  const user = (userId: number): As => ({ userId: BigInt(userId), tenantId });
  const read = (as: As, instance: number) =>
    the.client(MemberService, as, instance % 2 === 0 ? 'grpc' : 'web', instance % 2).getUnreadSummary({});
  /** Makes `count` calls at the same time, half of them to each instance; returns the number of OK and the errors. */
  const readAtOnce = async (count: number, as: (index: number) => As) => {
    const began = performance.now();
    const errors: ConnectError[] = [];
    const calls = Array.from({ length: count }, (_, index) =>
      read(as(index), index).catch((error) => errors.push(ConnectError.from(error))),
    );
    await Promise.all(calls);
    return { admitted: count - errors.length, errors, ms: performance.now() - began };
  };
  // A bucket refills while the calls are made, and the machine may be slow.
  const isExactly = (admitted: number, perMinute: number, ms: number) =>
    assert.ok(
      admitted >= perMinute && admitted <= perMinute + (ms * perMinute) / 60_000,
      `${admitted} of ${perMinute} per minute in ${ms} ms`,
    );
  const subscribe = (as: As, instance: number) => {
    const edge = instance === 0 ? 'grpc' : 'web';
    const subscriber = new Subscriber(the.client(EventService, as, edge, instance));
    open.push(subscriber);
    return subscriber.connect();
  };

  it('admit exactly the permitted calls of a user, and report the limit and the retry delay in the error', async () => {
    const { admitted, errors, ms } = await readAtOnce(60, () => user(1));
    isExactly(admitted, 20, ms);
    for (const error of errors) {
      assert.equal(Code[error.code], 'ResourceExhausted');
      const [quota] = error.findDetails(QuotaFailureSchema);
      assert.deepEqual(
        quota?.violations.map(({ subject, description }) => [subject, description]),
        [['user:1', '20 reads per minute and user']],
      );
      const { seconds = 0n, nanos = 0 } = error.findDetails(RetryInfoSchema)[0]?.retryDelay ?? {};
      const retryMs = Number(seconds) * 1000 + nanos / 1e6;
      assert.ok(retryMs > 0 && retryMs <= 3_000, `${retryMs} ms`);
    }
  });

  it('admit exactly the permitted calls of a tenant, against which rejected calls of a user do not count', async () => {
    const flooding = await readAtOnce(100, () => user(1));
    isExactly(flooding.admitted, 20, flooding.ms);
    const others = await readAtOnce(60, (index) => user(2 + (index % 10)));
    isExactly(flooding.admitted + others.admitted, 50, flooding.ms + others.ms);
    assert.equal(
      others.errors[0]?.findDetails(QuotaFailureSchema)[0]?.violations[0]?.description,
      '50 calls per minute and tenant',
    );
  });

  it('reject a user that keeps opening streams, and leave the quota of the tenant to its other users', async () => {
    const began = performance.now();
    let opened = 0;
    const errors: ConnectError[] = [];
    for (let attempt = 0; attempt < 60; attempt += 1) {
      const subscriber = new Subscriber(the.client(EventService, user(1), 'grpc', attempt % 2));
      await subscriber.connect().then(
        () => {
          opened += 1;
        },
        (error) => errors.push(ConnectError.from(error)),
      );
      await subscriber.disconnect();
    }
    isExactly(opened, 20, performance.now() - began);
    for (const error of errors)
      assert.deepEqual(
        error.findDetails(QuotaFailureSchema)[0]?.violations.map(({ description }) => description),
        ['20 opened streams per minute and user'],
      );
    const others = await readAtOnce(20, (index) => user(2 + index));
    assert.equal(others.admitted, 20);
  });

  it('reject the services of a tenant that keep opening streams', async () => {
    const service: As = { userId: 0n, tenantId, roles: ['discuss.service'] };
    const open = () => new TenantStreamReader().connect(the.client(EventService, service));
    const attempts = async () => {
      for (let attempt = 0; attempt < 60; attempt += 1) await (await open()).disconnect();
    };
    await rejects(attempts(), Code.ResourceExhausted, 'RATE_LIMITED');
    assert.equal((await readAtOnce(20, (index) => user(2 + index))).admitted, 20);
  });

  it('admit the calls of a burst of a tenant at once, and then the calls of its rate', async () => {
    await the.start({
      LIMIT_TENANT_PER_MINUTE: '600',
      LIMIT_TENANT_BURST_MS: '2000',
      LIMIT_READ_PER_MINUTE: '0',
    });
    const instance = the.instances.length - 1;
    const began = performance.now();
    const calls = Array.from({ length: 100 }, (_, index) =>
      the.client(MemberService, user(index + 1), 'grpc', instance).getUnreadSummary({}),
    );
    const results = await Promise.allSettled(calls);
    const admitted = results.filter(({ status }) => status === 'fulfilled').length;
    const most = 20 + (performance.now() - began) / 100;
    assert.ok(admitted >= 20 && admitted <= most, `${admitted} of at most ${most}`);
  });

  it('reject calls on a bucket known to be empty without asking Redis', async () => {
    // A bucket that stays empty for a minute, on an instance of its own.
    await the.start({ LIMIT_READ_PER_MINUTE: '1' });
    const instance = the.instances.length - 1;
    const read = (as: As) => the.client(MemberService, as, 'grpc', instance).getUnreadSummary({});
    await read(user(1));
    await rejects(read(user(1)), Code.ResourceExhausted, 'RATE_LIMITED');
    using scripts = await limitScripts(redis);
    for (let call = 0; call < 20; call += 1)
      await rejects(read(user(1)), Code.ResourceExhausted, 'RATE_LIMITED');
    await read(user(2));
    await until(() => scripts.keys.length > 0);
    const prefix = `limit:{${tenantId}}`;
    assert.deepEqual(scripts.keys, [`${prefix}:read:2`, `${prefix}:calls`]);
  });

  it('delay the rejection of a repeated call', async () => {
    await the.start({ LIMIT_REJECTION_DELAY_MS: '300', LIMIT_READ_PER_MINUTE: '1' });
    const repeated = the.client(MemberService, user(1), 'grpc', the.instances.length - 1);
    await repeated.getUnreadSummary({});
    await rejects(repeated.getUnreadSummary({}), Code.ResourceExhausted, 'RATE_LIMITED');
    const began = performance.now();
    await rejects(repeated.getUnreadSummary({}), Code.ResourceExhausted, 'RATE_LIMITED');
    assert.ok(performance.now() - began >= 145);
  });

  it('count the streams of a user and of a tenant on all instances, and the end of one permits another', async () => {
    await Promise.all([subscribe(user(1), 0), subscribe(user(1), 1), subscribe(user(1), 0)]);
    for (const instance of [0, 1])
      await rejects(subscribe(user(1), instance), Code.ResourceExhausted, 'RATE_LIMITED');
    await Promise.all([subscribe(user(2), 1), subscribe(user(3), 0)]);
    for (const instance of [0, 1])
      await rejects(subscribe(user(4), instance), Code.ResourceExhausted, 'RATE_LIMITED');
    await open[1]?.disconnect();
    await until(() =>
      subscribe(user(1), 0).then(
        () => true,
        () => false,
      ),
    );
    await rejects(subscribe(user(1), 1), Code.ResourceExhausted, 'RATE_LIMITED');
  });

  it('admit exactly the permitted number of streams that open concurrently', async () => {
    const results = await Promise.allSettled(
      Array.from({ length: 12 }, (_, index) => subscribe(user(1), index % 2)),
    );
    assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 3);
  });

  it('stop counting the streams of a killed instance when its lease ends, and keep those that are open', async () => {
    await subscribe(user(1), 0);
    // The lease of an instance that was killed.
    const [seconds = 0] = await redis.time();
    await redis.hset(`limit:{${tenantId}}:streams:1`, 'killed', `2 ${(Number(seconds) + 3) * 1000}`);
    await rejects(subscribe(user(1), 0), Code.ResourceExhausted, 'RATE_LIMITED');
    await until(() =>
      subscribe(user(1), 1).then(
        () => true,
        () => false,
      ),
    );
    // By now the lease of the first stream would have ended, had it not been renewed.
    await subscribe(user(1), 1);
    await rejects(subscribe(user(1), 1), Code.ResourceExhausted, 'RATE_LIMITED');
  });

  it('apply per instance while Redis is down, and over all instances when it is back', async () => {
    await subscribe(user(2), 0);
    await the.redis.stop();
    for (const { deps } of the.instances) await until(() => deps.redis.status !== 'ready');
    const separate = await readAtOnce(100, () => user(1));
    isExactly(separate.admitted, 40, separate.ms);
    await Promise.all([subscribe(user(2), 1), subscribe(user(2), 1), subscribe(user(2), 1)]);
    await rejects(subscribe(user(2), 1), Code.ResourceExhausted, 'RATE_LIMITED');
    await the.redis.start();
    const clients = [redis, ...the.instances.map(({ deps }) => deps.redis)];
    for (const client of clients) await until(() => client.status === 'ready');
    // The leases of open streams are renewed without a call.
    await until(async () => (await redis.hlen(`limit:{${tenantId}}:streams:2`)) === 2);
    await rejects(subscribe(user(2), 0), Code.ResourceExhausted, 'RATE_LIMITED');
    const together = await readAtOnce(60, () => user(3));
    isExactly(together.admitted, 20, together.ms);
  });
});

describe('calls queued for a database connection', () => {
  it('of one tenant give way to those of another', async () => {
    const the = await app({ DATABASE_CONNECTIONS: '1', DATABASE_QUEUE_SIZE: '5', CALL_READS: '100' });
    const clients = [1n, 2n].map((tenantId) => the.client(ChannelService, { userId: 1n, tenantId }));
    const served: number[] = [];
    let rejected = 0;
    const list = (tenant: number) =>
      clients[tenant]?.listChannels({}).then(
        () => void served.push(tenant),
        (error) => {
          rejected += 1;
          assert.equal(ConnectError.from(error).code, Code.ResourceExhausted);
        },
      );
    for (const tenant of [0, 1]) await list(tenant);
    served.length = 0;
    const { metrics } = the.instances[0]?.deps ?? {};
    const waiting = async () => (await metrics?.databaseWaiting.get())?.values[0]?.value ?? 0;
    const { promise: release, resolve } = Promise.withResolvers<void>();
    // The first call blocks the only connection.
    const lock = the.owner.begin(async (sql) => {
      await sql`lock table channels in access exclusive mode`;
      await release;
    });
    await until(async () => {
      const [row] =
        await the.owner`select count(*)::int as locks from pg_locks where mode = 'AccessExclusiveLock' and granted and relation = 'channels'::regclass`;
      return row?.['locks'] === 1;
    });
    // One runs, five wait, one is rejected.
    const calls = Array.from({ length: 7 }, () => list(0));
    await until(async () => rejected === 1 && (await waiting()) === 5);
    // Calls of another tenant displace two of them.
    calls.push(list(1), list(1));
    await until(() => rejected === 3);
    resolve();
    await lock;
    await Promise.all(calls);
    assert.deepEqual(served, [0, 0, 1, 0, 1, 0]);
    await the.close();
  });
});
