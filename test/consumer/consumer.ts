// A small consumer of StreamTenantEvents: "processes" each event by writing its place in the log to a file, and
// stores the cursor after some. It may be killed at any moment and started again.
// usage: node test/consumer/consumer.ts folder address ..., with the token in CONSUMER_TOKEN
import { appendFileSync, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { EventService, type StreamTenantEventsResponse } from '#gen/serp/discuss/v1/event_service_pb.ts';

const STORE_EVERY = 7;
const RECONNECT_MS = 20;

const [folder = '', ...addresses] = process.argv.slice(2);
const processed = join(folder, 'processed');
const stored = join(folder, 'cursor');
const headers = { authorization: `Bearer ${process.env['CONSUMER_TOKEN']}` };

for (let attempt = process.pid; ; attempt += 1) {
  await consume(addresses[attempt % addresses.length] ?? '').catch(() => {});
  await new Promise((resolve) => setTimeout(resolve, RECONNECT_MS));
}

async function consume(address: string): Promise<void> {
  const client = createClient(EventService, createGrpcTransport({ baseUrl: `http://${address}` }));
  let since = 0;
  for await (const response of client.streamTenantEvents(
    { cursor: storedCursor(), fromOldest: true },
    { headers },
  )) {
    take(response);
    since += 1;
    // A heartbeat says that there is nothing more for now.
    if (since < STORE_EVERY && response.payload.case === 'event') continue;
    store(response.cursor);
    since = 0;
  }
}

function take({ payload }: StreamTenantEventsResponse): void {
  if (payload.case === 'reset') throw new Error('the log was cut off');
  if (payload.case !== 'event') return;
  const { tenantId, event } = payload.value;
  appendFileSync(processed, `${tenantId}:${event?.channelId}:${event?.seq}\n`);
}

function storedCursor(): string {
  return existsSync(stored) ? readFileSync(stored, 'utf8') : '';
}

// What is renamed is there whole or not at all.
function store(cursor: string): void {
  writeFileSync(`${stored}.new`, cursor);
  renameSync(`${stored}.new`, stored);
}
