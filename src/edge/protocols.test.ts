import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, Code } from '@connectrpc/connect';
import {
  BadRequestSchema,
  ErrorInfoSchema,
  LocalizedMessageSchema,
  PreconditionFailureSchema,
  ResourceInfoSchema,
} from '#gen/google/rpc/error_details_pb.ts';
import type { EchoService } from '../../test/kit/edge/echo.ts';
import {
  bearer,
  clientOf,
  failureOf,
  numberedFrame,
  numberOf,
  openEdges,
  protocols,
  type TestEdges,
} from '../../test/kit/edge/edges.ts';
import { until } from '../../test/kit/until.ts';
import { errors } from '../rpc/errors.ts';

let aborted: unknown[] = [];
// How long the handler of a call that waits runs, unless the call ends earlier.
const HANDLER_MS = 30_000;

let edges: TestEdges;
// Calls that wait.
let waiting = 0;

suite('protocols', () => {
  before(async () => {
    edges = await openEdges(
      {
        async write({ content }, call) {
          if (content === 'archived') throw errors.channelArchived();
          if (content === 'fail') throw new Error('relation "secrets" does not exist');
          if (content === 'wait') {
            call.signal.addEventListener('abort', () => aborted.push(call.signal.reason));
            waiting += 1;
            await sleep(HANDLER_MS, undefined, { ref: false });
          }
          return { message: { content, senderId: call.caller.userId } };
        },
        async stream({ channelIds: [first = 0n] }, { signal }, sink) {
          if (first === 404n) throw errors.channelNotFound();
          for (let seq = 1n; seq <= first; seq++) {
            sink.write(numberedFrame(seq));
            if (seq % 3n === 0n) await sleep(1);
          }
          if (first === 5n) throw errors.serverDraining();
          if (first !== 6n) return;
          await new Promise((resolve) => signal.addEventListener('abort', resolve));
          aborted.push(signal.reason);
        },
      },
      {
        LIMIT_SEND_PER_MINUTE: '0',
        LIMIT_READ_PER_MINUTE: '0',
        LIMIT_STREAMS_PER_USER: '0',
        LIMIT_STREAM_OPENS_PER_MINUTE: '0',
        MAX_MESSAGE_BYTES: '50000',
      },
    );
  });
  after(() => edges[Symbol.asyncDispose]());

  for (const protocol of protocols) {
    suite(protocol.name, () => {
      let client: Client<typeof EchoService>;
      before(() => {
        client = clientOf(protocol.open(edges));
        aborted = [];
      });

      test('a unary call returns its response and echoes its request id', async () => {
        let header = '';
        const { message } = await client.write(
          { channelId: 1n, content: 'Xin chào, đây là tin nhắn' },
          {
            headers: { authorization: `Bearer ${edges.token}`, 'x-request-id': 'ask-1' },
            onHeader: (headers) => {
              header = headers.get('x-request-id') ?? '';
            },
          },
        );
        assert.equal(message?.content, 'Xin chào, đây là tin nhắn');
        assert.equal(message?.senderId, 7n);
        assert.equal(header, 'ask-1');
      });

      test('an error keeps its code, message and reason', async () => {
        const { error, reason } = await failureOf(
          client.write({ channelId: 1n, content: 'archived' }, bearer(edges.token)),
        );
        assert.equal(error.code, Code.FailedPrecondition);
        assert.equal(error.rawMessage, 'the channel is archived');
        assert.equal(reason, 'CHANNEL_ARCHIVED');
      });

      test('an error names the resource, and has a text in the language of the client', async () => {
        for (const [language, text] of [
          ['vi-VN,en;q=0.5', 'Kênh đã được lưu trữ nên không thể thay đổi.'],
          ['fr', 'The channel is archived and can no longer be changed.'],
        ] as const) {
          const headers = { ...bearer(edges.token).headers, 'accept-language': language };
          const { error } = await failureOf(
            client.write({ channelId: 12n, content: 'archived' }, { headers }),
          );
          assert.deepEqual(error.findDetails(ErrorInfoSchema)[0]?.metadata, { channel_id: '12' });
          const [violation] = error.findDetails(PreconditionFailureSchema)[0]?.violations ?? [];
          assert.deepEqual([violation?.type, violation?.subject], ['CHANNEL_ARCHIVED', 'channels/12']);
          assert.equal(error.findDetails(LocalizedMessageSchema)[0]?.message, text);
          const stream = client.stream({ channelIds: [404n] }, { headers });
          const { error: ended } = await failureOf(collect(stream));
          assert.equal(ended.findDetails(ResourceInfoSchema)[0]?.resourceType, 'serp.discuss.v1.Channel');
          assert.equal(ended.findDetails(LocalizedMessageSchema)[0]?.locale, language === 'fr' ? 'en' : 'vi');
        }
      });

      test('an invalid field is named by its path', async () => {
        const { error, reason } = await failureOf(
          client.write({ channelId: -1n, content: 'x', mentionUserIds: [1n, 0n] }, bearer(edges.token)),
        );
        assert.equal(error.code, Code.InvalidArgument);
        assert.equal(reason, 'FIELD_INVALID');
        const fields = error.findDetails(BadRequestSchema)[0]?.fieldViolations.map(({ field }) => field);
        assert.deepEqual(fields, ['channel_id', 'mention_user_ids[1]']);
      });

      test('an unexpected error is INTERNAL for the client and complete in the log', async () => {
        const { error, reason } = await failureOf(
          client.write({ channelId: 1n, content: 'fail' }, bearer(edges.token)),
        );
        assert.equal(error.code, Code.Internal);
        assert.equal(reason, 'INTERNAL');
        assert.doesNotMatch(
          JSON.stringify([error.message, error.details, [...error.metadata]]),
          /secrets|relation/,
        );
        const requestId = /request (\S+)$/.exec(error.rawMessage)?.[1];
        const line = edges.log.find(
          (entry) => entry['requestId'] === requestId && entry['err'] !== undefined,
        );
        assert.match(JSON.stringify(line), /relation \\"secrets\\" does not exist/);
      });

      test('a call without a token is rejected', async () => {
        const { error, reason } = await failureOf(client.write({ channelId: 1n, content: 'x' }));
        assert.equal(error.code, Code.Unauthenticated);
        assert.equal(reason, 'TOKEN_INVALID');
      });

      test('a deadline that passes at the client ends the call at the server', async () => {
        aborted = [];
        // On a slow machine, a short deadline can pass before the handler runs.
        for (let timeoutMs = 150; aborted.length === 0; timeoutMs *= 2) {
          waiting = 0;
          const { error } = await failureOf(
            client.write({ channelId: 1n, content: 'wait' }, { ...bearer(edges.token), timeoutMs }),
          );
          assert.equal(error.code, Code.DeadlineExceeded);
          if (waiting > 0) await until(() => aborted.length === 1);
        }
        assert.match(String(aborted[0]), /deadline|cancelled by the client/);
        await until(() => ['DEADLINE_EXCEEDED', 'CANCELLED'].includes(String(lastRpc()['code'])));
      });

      test('a call whose handler runs past the deadline fails at the deadline', async () => {
        aborted = [];
        // On a slow machine, a short deadline can pass before the handler runs.
        for (let timeoutMs = 500; aborted.length === 0; timeoutMs *= 2) {
          waiting = 0;
          const began = performance.now();
          // The headers of a client's deadline, without the client's own timer.
          const headers = {
            ...bearer(edges.token).headers,
            'grpc-timeout': `${timeoutMs}m`,
            'connect-timeout-ms': `${timeoutMs}`,
          };
          const { error } = await failureOf(client.write({ channelId: 1n, content: 'wait' }, { headers }));
          assert.equal(error.code, Code.DeadlineExceeded);
          const ms = performance.now() - began;
          assert.ok(ms >= timeoutMs - 5 && ms < HANDLER_MS, `${ms} ms`);
          if (waiting > 0) await until(() => aborted.length === 1);
        }
        assert.match(String(aborted[0]), /deadline|cancelled by the client/);
      });

      test('a call ends when its client cancels it', async () => {
        aborted = [];
        waiting = 0;
        const controller = new AbortController();
        const call = failureOf(
          client.write(
            { channelId: 1n, content: 'wait' },
            { ...bearer(edges.token), signal: controller.signal },
          ),
        );
        await until(() => waiting === 1);
        controller.abort();
        await call;
        await until(() => aborted.length === 1);
        assert.match(String(aborted[0]), /cancelled by the client/);
        await until(() => lastRpc()['code'] === 'CANCELLED');
      });

      test('a request above the size limit is rejected', async () => {
        const { error, reason } = await failureOf(
          client.write({ channelId: 1n, content: 'x'.repeat(60_000) }, bearer(edges.token)),
        );
        assert.equal(error.code, Code.ResourceExhausted);
        assert.match(error.rawMessage, /50000|larger/);
        // The library itself rejects a body of unknown length, without our reason.
        if (reason !== undefined) assert.equal(reason, 'REQUEST_TOO_LARGE');
      });

      test('a stream delivers every frame in order and ends with OK', async () => {
        assert.deepEqual(
          await collect(client.stream({ channelIds: [20n] }, bearer(edges.token))),
          numbers(20),
        );
        await until(() => lastRpc()['code'] === 'OK');
      });

      test('a stream without frames ends with OK', async () => {
        assert.deepEqual(await collect(client.stream({ channelIds: [] }, bearer(edges.token))), []);
      });

      test('an error before the first frame reaches the client', async () => {
        const { error, reason } = await failureOf(
          collect(client.stream({ channelIds: [404n] }, bearer(edges.token))),
        );
        assert.equal(error.code, Code.NotFound);
        assert.equal(reason, 'CHANNEL_NOT_FOUND');
      });

      test('an error after frames reaches the client after them', async () => {
        const got: (bigint | undefined)[] = [];
        const { error, reason } = await failureOf(
          collect(client.stream({ channelIds: [5n] }, bearer(edges.token)), got),
        );
        assert.equal(error.code, Code.Unavailable);
        assert.equal(reason, 'SERVER_DRAINING');
        assert.deepEqual(got, numbers(5));
      });

      test('a stream ends when its client cancels it', async () => {
        aborted = [];
        const controller = new AbortController();
        const got: (bigint | undefined)[] = [];
        const call = failureOf(
          collect(
            client.stream({ channelIds: [6n] }, { ...bearer(edges.token), signal: controller.signal }),
            got,
          ),
        );
        await until(() => got.length === 6);
        controller.abort();
        await call;
        await until(() => aborted.length === 1);
        assert.match(String(aborted[0]), /cancelled by the client/);
      });

      test('a stream ends at the deadline of its client', async () => {
        const { error } = await failureOf(
          collect(client.stream({ channelIds: [6n] }, { ...bearer(edges.token), timeoutMs: 150 })),
        );
        assert.equal(error.code, Code.DeadlineExceeded);
      });
    });
  }
});

function lastRpc(): Record<string, unknown> {
  return edges.log.filter(({ msg }) => msg === 'rpc').at(-1) ?? {};
}

async function collect(
  stream: AsyncIterable<Parameters<typeof numberOf>[0]>,
  into: (bigint | undefined)[] = [],
): Promise<(bigint | undefined)[]> {
  for await (const response of stream) into.push(numberOf(response));
  return into;
}

function numbers(count: number): bigint[] {
  return Array.from({ length: count }, (_, index) => BigInt(index + 1));
}
