import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { type App, type As, app } from '../../test/kit/app.ts';
import { limitScripts } from '../../test/kit/limit-scripts.ts';
import { rejects } from '../../test/kit/rejects.ts';
import { Subscriber } from '../../test/kit/stream.ts';
import { until } from '../../test/kit/until.ts';

const ATTEMPTS = 30;
const user: As = { userId: 1n, tenantId: 1n };

let the: App;

describe('the cap of streams', () => {
  before(async () => {
    the = await app({
      LIMIT_STREAMS_PER_USER: '1',
      LIMIT_REDIS_TIMEOUT_MS: '2000',
      LIMIT_REJECTION_DELAY_MS: '1',
    });
    await the.start();
  });
  after(() => the.close());

  const subscriberOf = (as: As, instance: number) =>
    new Subscriber(the.client(EventService, as, 'grpc', instance));

  it('a user at the cap of streams on another instance is rejected without asking Redis each time', async () => {
    const open = subscriberOf(user, 0);
    await open.connect();
    using scripts = await limitScripts(the.redis.client);
    const leases = scripts.keys;
    const began = performance.now();
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1)
      await rejects(subscriberOf(user, 1).connect(), Code.ResourceExhausted, 'RATE_LIMITED');
    const other = subscriberOf({ ...user, userId: 2n }, 1);
    await other.connect();
    await until(() => leases.some((key) => key.endsWith(':2')), 'the lease of another user');
    const seconds = 1 + (performance.now() - began) / 1_000;
    scripts[Symbol.dispose]();
    const asked = leases.filter((key) => key.endsWith(':1')).length;
    // A lease and its release, once per second.
    assert.ok(asked > 0 && asked <= 2 * Math.ceil(seconds), `${asked} in ${seconds} s`);

    await open.disconnect();
    const next = subscriberOf(user, 1);
    await until(
      () =>
        next.connect().then(
          () => true,
          () => false,
        ),
      'a stream after the end of the other',
    );
    await Promise.all([next.disconnect(), other.disconnect()]);
  });
});
