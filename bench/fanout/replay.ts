import { Child } from '../../scripts/lib/child.ts';
import type { Pool } from '../../src/db/types.ts';
import { type Benchmark, ratioAtLeast } from '../lib/benchmark.ts';
import { createCallers } from '../lib/callers.ts';
import { createChannels, users } from '../lib/channels.ts';
import { GrpcClient } from '../lib/grpc-client.ts';
import { compare, type Measurement } from '../lib/measure.ts';
import type { Stack } from '../lib/stack.ts';
import { subscription, tokensOf } from '../lib/subscription.ts';
import type { ReaderCommands } from '../processes/reader.ts';

const STREAMS = 1_000;
const EVENTS = 1_000;
const SENDING = 50;
// The number that an instance uses for its log.
const CONNECTIONS = 4;
const PAGE = 500;

/**
 * Events per second delivered to 1,000 streams that resume at the same time, each 1,000 events behind; over the events
 * per second that the same number of readers receive that each read the rows from the database.
 */
export const replay: Benchmark = {
  name: 'replay',
  subject: 'fanout',
  isHeadline: false,
  goals: { replay: ratioAtLeast(1) },
  run,
};

async function run(stack: Stack): Promise<Measurement[]> {
  await using database = await stack.database();
  const members = users(STREAMS);
  const [channel] = await createChannels(database.owner(1), [members]);
  if (channel === undefined) throw new Error('no channel');
  const tokens = await tokensOf(stack, members);
  const callerAt = await createCallers(stack, [channel], users(1), 1);
  await using service = await stack.service(database);
  await using reader = await Child.start<ReaderCommands>('bench/processes/reader.ts');
  const addresses = await service.call('addresses');
  using client = new GrpcClient(addresses.grpc);
  for (let sent = 0; sent < EVENTS; sent += SENDING)
    await Promise.all(Array.from({ length: SENDING }, (_, place) => client.send(place, callerAt(place))));

  const resume = async () => {
    const began = performance.now();
    const set = await reader.call('open', subscription('grpc', addresses.grpc, channel.id, tokens, 0n));
    await reader.call('waitFor', { set, events: EVENTS });
    const ms = performance.now() - began;
    await reader.call('close', set);
    return (STREAMS * EVENTS * 1000) / ms;
  };
  const readRows = async () => {
    const began = performance.now();
    const pool = database.owner(CONNECTIONS);
    await Promise.all(members.map(() => readAll(pool, channel.id)));
    return (STREAMS * EVENTS * 1000) / (performance.now() - began);
  };
  await resume();
  await readRows();
  return [await compare('replay', 'events/s', resume, readRows)];
}

async function readAll(sql: Pool, channelId: bigint): Promise<void> {
  for (let after = 0n; ; ) {
    const rows = await sql<{ seq: bigint; payload: Buffer }[]>`
      select seq, payload
      from channel_events
      where channel_id = ${channelId} and seq > ${after}
      order by seq
      limit ${PAGE}
    `;
    const last = rows.at(-1);
    if (last === undefined || rows.length < PAGE) return;
    after = last.seq;
  }
}
