import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { Code, ConnectError } from '@connectrpc/connect';
import { RetryInfoSchema } from '#gen/google/rpc/error_details_pb.ts';
import {
  bearer,
  clientOf,
  failureOf,
  openEdges,
  protocols,
  type TestEdges,
} from '../../../test/kit/edge/edges.ts';
import { until } from '../../../test/kit/until.ts';

const valid = { channelId: 1n, messageId: 1n };
const invalid = { channelId: -1n, messageId: 1n };
const [mesh, web] = protocols;

describe('unary reads take turns', () => {
  let edges: TestEdges;
  let running: (() => void)[];
  let begun: string[];

  const open = (env: Record<string, string>) =>
    openEdges(
      {
        async read(_request, { caller }) {
          begun.push(`${caller.tenantId} ${caller.userId}`);
          await new Promise<void>((resolve) => running.push(resolve));
          return {};
        },
      },
      env,
    );
  const read = async (
    tenantId: bigint,
    userId: bigint,
    { open }: (typeof protocols)[number] = mesh,
    options = {},
    names = valid,
  ) => {
    const token = await edges.signer.sign({ tenantId, userId });
    return clientOf(open(edges)).read(names, { ...bearer(token), ...options });
  };
  const waiting = async () => {
    const { values } = await edges.metrics.callsWaiting.get();
    return values[0]?.value ?? 0;
  };
  const finish = () => {
    for (const end of running.splice(0)) end();
  };

  beforeEach(() => {
    running = [];
    begun = [];
  });
  afterEach(() => edges[Symbol.asyncDispose]());

  for (const protocol of [mesh, web])
    it(`in turn by tenant: ${protocol.name}`, async () => {
      edges = await open({ CALL_READS: '2' });
      const first = read(1n, 1n, protocol);
      await until(() => running.length === 1);
      const more = [1, 2, 3].map(() => read(1n, 2n, protocol));
      await until(async () => (await waiting()) === 3);
      const other = read(2n, 1n, protocol);
      await until(() => running.length === 2);
      assert.deepEqual(begun, ['1 1', '2 1']);
      const ended = Promise.all([first, ...more, other]);
      const timer = setInterval(finish, 1);
      await ended;
      clearInterval(timer);
      assert.deepEqual(begun, ['1 1', '2 1', '1 2', '1 2', '1 2']);
      assert.equal(await waiting(), 0);
    });

  for (const protocol of [mesh, web])
    it(`before their requests are decoded, and give up when their deadline passes or they are cancelled: ${protocol.name}`, async () => {
      edges = await open({ CALL_READS: '1' });
      const first = read(1n, 1n, protocol);
      await until(() => running.length === 1);
      const { error } = await failureOf(read(1n, 1n, protocol, { timeoutMs: 200 }, invalid));
      assert.equal(error.code, Code.DeadlineExceeded);
      const controller = new AbortController();
      const cancelled = read(1n, 1n, protocol, { signal: controller.signal });
      await until(async () => (await waiting()) === 1);
      controller.abort();
      await assert.rejects(cancelled, (reason) => ConnectError.from(reason).code === Code.Canceled);
      await until(async () => (await waiting()) === 0);
      finish();
      await first;
      assert.equal(begun.length, 1);
    });

  it('and are rejected with a delay for the retry when too many wait', async () => {
    edges = await open({ CALL_READS: '1', CALL_QUEUE_SIZE: '1' });
    const first = read(1n, 1n);
    await until(() => running.length === 1);
    const second = read(1n, 1n);
    await until(async () => (await waiting()) === 1);
    const { error, reason } = await failureOf(read(1n, 1n));
    assert.deepEqual([error.code, reason], [Code.ResourceExhausted, 'OVERLOADED']);
    assert.equal(error.findDetails(RetryInfoSchema)[0]?.retryDelay?.seconds, 1n);
    const timer = setInterval(finish, 1);
    await Promise.all([first, second]);
    clearInterval(timer);
  });

  it('but writes do not wait for reads', async () => {
    edges = await open({ CALL_READS: '1' });
    const first = read(1n, 1n);
    await until(() => running.length === 1);
    const client = clientOf(mesh.open(edges));
    const token = await edges.signer.sign({ tenantId: 1n, userId: 1n });
    await client.write({ channelId: 1n, content: 'x' }, bearer(token));
    finish();
    await first;
  });
});
