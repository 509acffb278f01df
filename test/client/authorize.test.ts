import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Code, ConnectError, createRouterTransport } from '@connectrpc/connect';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { ApiError } from '../../client/src/api-error.ts';
import { authorize } from '../../client/src/authorize.ts';
import { overConnect } from '../../client/src/connect.ts';
import { Store } from '../../client/src/store.ts';
import { Subscription } from '../../client/src/subscription.ts';
import { createTokenSigner } from '../kit/tokens.ts';
import { until } from '../kit/until.ts';

const LIFETIME_S = 1_000;

test('a token is fetched once for concurrent calls, and replaced before it expires', async () => {
  const signer = await createTokenSigner();
  let now = Date.now();
  const { call, accepted, fetched } = serve(
    () => signer.sign({ userId: 1n, tenantId: 1n, expiresIn: LIFETIME_S, tokenId: crypto.randomUUID() }),
    () => now,
  );
  await Promise.all([call(), call(), call()]);
  now += (LIFETIME_S - 31) * 1_000;
  await call();
  assert.equal(fetched.length, 1);
  now += 2_000;
  await Promise.all([call(), call()]);
  assert.equal(fetched.length, 2);
  assert.deepEqual(new Set(accepted.slice(-2)), new Set([fetched[1]]));
});

test('a unary call with a rejected token is repeated once, with the next one', async () => {
  const { call, accepted, rejected } = serve();
  await call();
  rejected.add('token 1');
  await Promise.all([call(), call()]);
  assert.deepEqual(accepted, ['token 1', 'token 2', 'token 2']);
  rejected.add('token 2').add('token 3');
  await assert.rejects(call(), { code: 'unauthenticated' });
});

test('an error of the source of tokens is that of the call, and not kept', async () => {
  let isOffline = true;
  const { call, accepted } = serve(async () => {
    if (isOffline) throw new ApiError('offline', 'unavailable');
    return 'token';
  });
  await assert.rejects(call(), { code: 'unavailable' });
  isOffline = false;
  await call();
  assert.deepEqual(accepted, ['token']);
});

test('a stream whose token is rejected, or expires later, is resumed with the next one', async () => {
  const { transport, accepted, rejected, expire } = serve();
  rejected.add('token 1');
  const subscription = new Subscription({ transport, store: new Store('1'), read: async () => {} });
  await until(() => accepted.length === 1, 'the second stream');
  expire();
  await until(() => accepted.length === 2, 'the third stream');
  assert.deepEqual(accepted, ['token 2', 'token 3']);
  await subscription.close();
});

/** A server that accepts all tokens but those in `rejected`, and ends streams as if their tokens expired. */
function serve(source?: () => Promise<string>, now?: () => number) {
  const accepted: string[] = [];
  const fetched: string[] = [];
  const rejected = new Set<string>();
  let expire = () => {};
  async function fetchToken(): Promise<string> {
    const token = source === undefined ? `token ${fetched.length + 1}` : await source();
    fetched.push(token);
    return token;
  }
  function check(headers: Headers): void {
    const token = headers.get('authorization')?.replace('Bearer ', '') ?? '';
    if (rejected.has(token)) throw new ConnectError('a valid bearer token is required', Code.Unauthenticated);
    accepted.push(token);
  }
  const server = createRouterTransport(({ service }) => {
    service(MemberService, {
      getUnreadSummary(_, { requestHeader }) {
        check(requestHeader);
        return {};
      },
    });
    service(EventService, {
      async *subscribe(_, { requestHeader, signal }) {
        check(requestHeader);
        yield { payload: { case: 'started', value: {} } };
        await new Promise<void>((resolve) => {
          expire = resolve;
          signal.addEventListener('abort', () => resolve());
        });
        throw new ConnectError('the token has expired', Code.Unauthenticated);
      },
    });
  });
  const services = [EventService, MemberService];
  const transport = authorize(overConnect({ transport: server, services }), fetchToken, now);
  const call = () => transport.unary('MemberService/GetUnreadSummary', {});
  return { transport, call, accepted, fetched, rejected, expire: () => expire() };
}
