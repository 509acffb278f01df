import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { Code, ConnectError, createRouterTransport, type ServiceImpl } from '@connectrpc/connect';
import {
  EventService,
  type SubscribeRequest,
  type SubscribeResponseSchema,
} from '#gen/serp/discuss/v1/event_service_pb.ts';
import { overConnect } from '../../client/src/connect.ts';
import { Store } from '../../client/src/store.ts';
import { type ConnectionState, Subscription } from '../../client/src/subscription.ts';
import { until } from '../kit/until.ts';

const HEARTBEAT_MS = 100;
const channelId = '5';

type Sent = MessageInitShape<typeof SubscribeResponseSchema>;
type Connection = (request: SubscribeRequest, signal: AbortSignal) => Promise<void>;

test('a stream that is silent, drained or whose token has expired is resumed with its cursors', async () => {
  const requests: SubscribeRequest[] = [];
  const { subscription, states } = subscribe(async (request, signal) => {
    requests.push(request);
    if (requests.length === 1) throw new ConnectError('draining', Code.Unavailable);
    if (requests.length === 2) throw new ConnectError('expired', Code.Unauthenticated);
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
  });
  await until(() => requests.length === 4, 'the fourth connection');
  assert.deepEqual(
    requests.map(({ cursors }) => cursors.map(({ seq }) => seq)),
    [[], [7n], [8n], [9n]],
  );
  assert.ok(states.includes('waiting') && !states.includes('failed'));
  await subscription.close();
  assert.equal(states.at(-1), 'closed');
});

test('a stream that is silent from its first message on is resumed', async () => {
  const requests: SubscribeRequest[] = [];
  const transport = serve(async function* (request, { signal }): AsyncGenerator<Sent> {
    requests.push(request);
    yield { payload: { case: 'started', value: { heartbeatInterval: durationFromMs(HEARTBEAT_MS) } } };
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
  });
  const subscription = new Subscription({ transport, store: new Store('1'), read: async () => {} });
  await until(() => requests.length === 2, 'the second connection');
  await subscription.close();
});

test('an error that a new connection would repeat ends the subscription', async () => {
  let connections = 0;
  const { subscription, states } = subscribe(async () => {
    connections += 1;
    throw new ConnectError('not for services', Code.PermissionDenied);
  });
  await until(() => states.includes('failed'));
  await subscription.close();
  assert.equal(connections, 1);
});

test('a channel whose events were lost is read once, again after a temporary error', async () => {
  const reads: string[] = [];
  const { subscription, store } = subscribe(
    (_request, signal) => new Promise((resolve) => signal.addEventListener('abort', () => resolve())),
    async (id) => {
      reads.push(id);
      if (reads.length === 1) throw new ConnectError('overloaded', Code.Unavailable);
      store.channel(id).isOutdated = false;
    },
  );
  await until(() => store.channels.has(channelId));
  store.apply({ reset: { channelId, headSeq: '90' } });
  await until(() => reads.length === 2, 'the second attempt');
  assert.deepEqual(reads, [channelId, channelId]);
  assert.deepEqual(store.outdated, []);
  await subscription.close();
});

/** Each connection starts the channel at its cursor, sends the next event, and does what is given. */
function subscribe(connection: Connection, read: (channelId: string) => Promise<void> = async () => {}) {
  const id = BigInt(channelId);
  const transport = serve(async function* (request, { signal }): AsyncGenerator<Sent> {
    const startSeq = request.cursors[0]?.seq ?? 6n;
    const heartbeatInterval = durationFromMs(HEARTBEAT_MS);
    const channels = [{ channelId: id, startSeq, headSeq: startSeq }];
    yield { payload: { case: 'started', value: { channels, heartbeatInterval } } };
    yield { payload: { case: 'event', value: { channelId: id, seq: startSeq + 1n } } };
    yield { payload: { case: 'heartbeat', value: {} } };
    await connection(request, signal);
  });
  const store = new Store('1');
  const states: ConnectionState[] = [];
  const onState = (state: ConnectionState) => states.push(state);
  return { subscription: new Subscription({ transport, store, read, onState }), store, states };
}

function serve(subscribe: ServiceImpl<typeof EventService>['subscribe']) {
  const transport = createRouterTransport(({ service }) => service(EventService, { subscribe }));
  return overConnect({ transport, services: [EventService] });
}
