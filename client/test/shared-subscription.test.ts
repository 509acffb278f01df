import assert from 'node:assert/strict';
import { afterEach, suite, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { createRouterTransport } from '@connectrpc/connect';
import {
  EventService,
  type SubscribeRequest,
  type SubscribeResponseSchema,
} from '../../gen/serp/discuss/v1/event_service_pb.ts';
import { until } from '../../test/kit/until.ts';
import { overConnect } from '../src/connect.ts';
import { SharedSubscription } from '../src/shared-subscription.ts';
import { Store } from '../src/store.ts';
import type { ConnectionState } from '../src/subscription.ts';

// Announced by the stream; no test waits for it.
const heartbeatInterval = durationFromMs(60_000);
const TABS = 8;
const channelIds = [5n, 6n];

type Sent = MessageInitShape<typeof SubscribeResponseSchema>;
type Tab = {
  readonly store: Store;
  readonly subscription: SharedSubscription;
  readonly states: ConnectionState[];
  readonly outdated: string[];
};

const open = new Set<Tab>();
suite('a subscription that tabs share', () => {
  afterEach(async () => {
    await Promise.all([...open].map(close));
  });

  test('eight tabs share one stream, and a ninth begins where it is', async () => {
    const server = serve();
    const tabs = Array.from({ length: TABS }, () => server.openTab());
    await until(() => tabs.every(({ states }) => states.at(-1) === 'open'), 'the state of all tabs');
    server.post(5n);
    server.post(6n);
    server.post(6n);
    await until(() => tabs.every(({ store }) => store.channel('6').seq === '3'), 'the events in all tabs');
    const late = server.openTab();
    await until(() => late.store.channel('6').seq === '3', 'the state in the ninth tab');
    server.post(5n);
    await until(() => [...tabs, late].every(({ store }) => store.channel('5').seq === '3'));
    assert.equal(server.requests.length, 1);
    assert.equal([...tabs, late].filter(({ subscription }) => subscription.isLeader).length, 1);
    assert.deepEqual(
      [...tabs, late].flatMap(({ outdated }) => outdated),
      [],
    );
  });

  test('another tab resumes the stream of a tab that is closed', async () => {
    const server = serve();
    const tabs = Array.from({ length: 3 }, () => server.openTab());
    await until(() => tabs.every(({ states }) => states.at(-1) === 'open'), 'the state of all tabs');
    server.post(5n);
    await until(() => tabs.every(({ store }) => store.channel('5').seq === '2'));
    const leader = tabs.find(({ subscription }) => subscription.isLeader);
    assert.ok(leader !== undefined);
    await close(leader);
    const others = tabs.filter((tab) => tab !== leader);
    await until(() => server.requests.length === 2, 'the next stream');
    assert.deepEqual(
      server.requests[1]?.cursors.map(({ seq }) => seq),
      [2n, 1n],
    );
    server.post(6n);
    await until(() => others.every(({ store }) => store.channel('6').seq === '2'));
    assert.deepEqual(
      others.flatMap(({ outdated }) => outdated),
      [],
    );
  });

  test('a tab that is silent but keeps the lock is replaced', async () => {
    const server = serve();
    const released = Promise.withResolvers<void>();
    const frozen = assert.rejects(
      navigator.locks.request(server.name, () => released.promise),
      { name: 'AbortError' },
    );
    const tab = server.openTab({ heartbeatMs: 100 });
    await until(() => tab.states.at(-1) === 'open', 'the stream');
    await frozen;
    released.resolve();
  });

  test('a channel that a tab read at another position is read again', async () => {
    const server = serve();
    const first = server.openTab();
    await until(() => first.states.at(-1) === 'open');
    const store = new Store('1');
    store.channel('5').seq = '9';
    const second = server.openTab({ store });
    await until(() => second.outdated.length > 0);
    assert.deepEqual(second.outdated, ['5']);
  });
});

async function close(tab: Tab): Promise<void> {
  open.delete(tab);
  await tab.subscription.close();
}

/** Each stream starts at its cursors or at the heads, in two parts, and then sends what is posted. */
function serve() {
  const name = `stream-${crypto.randomUUID()}`;
  const requests: SubscribeRequest[] = [];
  const heads = new Map(channelIds.map((channelId) => [channelId, 1n]));
  const queue: Sent[] = [];
  const server = createRouterTransport(({ service }) =>
    service(EventService, {
      async *subscribe(request, { signal }): AsyncGenerator<Sent> {
        requests.push(request);
        for (const [index, channelId] of channelIds.entries()) {
          const headSeq = heads.get(channelId) ?? 0n;
          const startSeq = request.cursors.find((cursor) => cursor.channelId === channelId)?.seq ?? headSeq;
          const channels = [{ channelId, startSeq, headSeq, membership: { channelId } }];
          yield { payload: { case: 'started', value: { channels, heartbeatInterval, more: index === 0 } } };
        }
        while (!signal.aborted) {
          yield* queue.splice(0);
          await setTimeout(5);
        }
      },
    }),
  );

  const transport = overConnect({ transport: server, services: [EventService] });

  function post(channelId: bigint): void {
    const seq = (heads.get(channelId) ?? 0n) + 1n;
    heads.set(channelId, seq);
    queue.push({ payload: { case: 'event', value: { channelId, seq } } });
  }

  function openTab(options: { store?: Store; heartbeatMs?: number } = {}): Tab {
    const { store = new Store('1') } = options;
    const states: ConnectionState[] = [];
    const outdated: string[] = [];
    const subscription = new SharedSubscription({
      name,
      transport,
      ...options,
      store,
      async read(channelId) {
        outdated.push(channelId);
        store.channel(channelId).isOutdated = false;
      },
      onState: (state) => states.push(state),
    });
    const tab = { store, subscription, states, outdated };
    open.add(tab);
    return tab;
  }

  return { name, requests, post, openTab };
}
