import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { createClient } from '@connectrpc/connect';
import { Health, HealthCheckResponse_ServingStatus as ServingStatus } from '#gen/grpc/health/v1/health_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { createServiceLogin, randomPassword } from '../scripts/lib/postgres.ts';
import { type App, type As, app } from '../test/kit/app.ts';
import { until } from '../test/kit/until.ts';
import { SchemaError } from './db/schema-files.ts';
import { openService } from './service.ts';
import { createLogger } from './telemetry/log.ts';

const ana: As = { userId: 1n, tenantId: 1n };

describe('openService', () => {
  let the: App;

  before(async () => {
    the = await app();
  });
  after(() => the.close());

  it('rejects a login that bypasses row-level security', async () => {
    await assert.rejects(the.start({ DATABASE_URL: the.database.ownerUrl }), SchemaError);
    assert.equal(the.instances.length, 1);
  });

  it('rejects a login that is a member of discuss_system, also without inheriting its rights', async () => {
    const role = `discuss_test_member_${randomBytes(6).toString('hex')}`;
    const url = await createServiceLogin(the.database.ownerUrl, role, randomPassword());
    try {
      const instance = await openService(the.config({ DATABASE_URL: url }), createLogger('silent'));
      await instance.drain();
      for (const inherit of ['inherit', 'noinherit']) {
        await the.owner.unsafe(`alter role ${role} ${inherit}`);
        await the.owner.unsafe(`grant discuss_system to ${role}`);
        await assert.rejects(the.start({ DATABASE_URL: url }), /must be a plain member of discuss_service/);
        await the.owner.unsafe(`revoke discuss_system from ${role}`);
      }
    } finally {
      await the.owner.unsafe(`drop role ${role}`);
    }
  });

  it('serves new calls for a while after its health has changed', async () => {
    const draining = await the.start({ DRAIN_DELAY_MS: '1000' });
    const healthOf = (instance: number) => createClient(Health, the.transport(ana, 'grpc', instance));
    const probe = async (path: string) => (await fetch(`http://${draining.metricsAddress}${path}`)).status;
    const list = async (instance: number) =>
      the.client(ChannelService, ana, 'grpc', instance).listChannels({});
    const watch = healthOf(1).watch({})[Symbol.asyncIterator]();
    const next = async () => (await watch.next()).value?.status;
    assert.equal(await next(), ServingStatus.SERVING);
    assert.equal(await probe('/readyz'), 200);
    // A load balancer that checks the health before each call, and prefers the draining instance.
    let stopped = false;
    let served = 0;
    const call = async () => {
      while (!stopped) {
        const { status } = await healthOf(1)
          .check({})
          .catch(() => ({ status: ServingStatus.UNKNOWN }));
        await list(status === ServingStatus.SERVING ? 1 : 0);
        served += 1;
      }
    };
    const calls = Promise.all([call(), call()]);
    await until(() => served > 10, 'calls');
    const drained = draining.drain();
    assert.equal(await next(), ServingStatus.NOT_SERVING);
    assert.deepEqual([await probe('/readyz'), await probe('/livez')], [503, 200]);
    await list(1);
    await drained;
    the.instances.pop();
    stopped = true;
    await calls;
    await assert.rejects(list(1));
  });

  it('accepts a key set over https, from a file or from this machine only', () => {
    for (const url of [
      'https://id.example/certs',
      'file:///run/jwks.json',
      'http://localhost:8080/certs',
      'http://[::1]/',
    ])
      assert.equal(the.config({ AUTH_JWKS_URL: url }).auth.jwks, url);
    for (const url of [
      'http://id.example/certs',
      'http://localhost.example/',
      'http://127.0.0.1.example/',
      'certs',
      'ftp://localhost/',
    ])
      assert.throws(() => the.config({ AUTH_JWKS_URL: url }), /AUTH_JWKS_URL must be https/);
  });

  it('rejects numbers that a timer or an int32 cannot hold', () => {
    assert.equal(the.config({ LIMIT_READ_PER_MINUTE: '2147483647' }).limits.readPerMinute, 2_147_483_647);
    for (const value of ['2147483648', '-1', '1.5', 'x'])
      assert.throws(() => the.config({ LIMIT_READ_PER_MINUTE: value }), /LIMIT_READ_PER_MINUTE must be/);
  });

  it('keeps request ids for a day or longer', () => {
    assert.equal(the.config({ WRITE_REQUEST_ID_HOURS: '24' }).write.requestIdHours, 24);
    assert.throws(() => the.config({ WRITE_REQUEST_ID_HOURS: '23' }), /WRITE_REQUEST_ID_HOURS must be/);
  });

  it('rejects 0 where no call could succeed', () => {
    for (const name of [
      'GRPC_KEEPALIVE_TIMEOUT_MS',
      'GRPC_MAX_CONCURRENT_STREAMS',
      'WEB_MAX_CONCURRENT_STREAMS',
      'MAX_MESSAGE_BYTES',
      'DEFAULT_DEADLINE_MS',
      'MAX_DEADLINE_MS',
      'AUTH_TOKEN_CACHE_SIZE',
      'AUTH_REVOCATIONS',
      'DATABASE_QUEUE_SIZE',
      'WRITE_QUEUE_SIZE',
      'EVENT_STREAM_BUFFER_BYTES',
      'EVENT_STREAMS',
      'CHANNEL_MAX_MEMBERS',
      'CHANNEL_MAX_PINS',
      'REACTION_MAX_KINDS',
      'REACTION_MAX_USERS',
      'ATTACHMENT_ABANDONED_HOURS',
    ])
      assert.throws(() => the.config({ [name]: '0' }), new RegExp(`${name} must be an integer from 1`));
  });

  it('lists every problem of the configuration at once', () => {
    assert.throws(
      () =>
        the.config({ DATABASE_URL: '', GRPC_KEEPALIVE_MS: 'soon', LOG_LEVEL: 'loud', WRITE_BATCH_SIZE: '0' }),
      /LOG_LEVEL must be one of.*\n.*GRPC_KEEPALIVE_MS must be.*\n.*DATABASE_URL is required\n.*WRITE_BATCH_SIZE must be/,
    );
  });
});
