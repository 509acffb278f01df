import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { createConnectTransport, createGrpcTransport, Http2SessionManager } from '@connectrpc/connect-node';
import { freePort, launch, scratchFolder, stop } from '../../scripts/lib/processes.ts';
import { TestAuthority } from '../kit/edge/certificates.ts';
import {
  bearer,
  clientOf,
  failureOf,
  numberedFrame,
  numberOf,
  openEdges,
  type TestEdges,
} from '../kit/edge/edges.ts';
import { until } from '../kit/until.ts';

/** What a proxy runs with: `folder` contains `tls.crt` and `tls.key`. */
export type ProxySetup = {
  readonly folder: string;
  readonly edges: TestEdges;
  readonly webPort: number;
  readonly grpcPort: number;
};

export type Proxy = {
  readonly name: string;
  /** Why it cannot run; undefined if it can. */
  readonly missing: string | undefined;
  /** Writes its configuration, and returns the command that runs it. */
  readonly prepare: (setup: ProxySetup) => Promise<readonly string[]>;
};

/** All protocols through a proxy with a configuration of deploy/. */
export function testProxy({ name, missing, prepare }: Proxy): void {
  suite(`behind ${name}`, { skip: missing ?? false }, () => {
    let authority: TestAuthority;
    let edges: TestEdges;
    let child: ReturnType<typeof launch>;
    let webPort: number;
    let grpcPort: number;
    const folder = scratchFolder('discuss-proxy');

    before(async () => {
      authority = await TestAuthority.create();
      edges = await openEdges({
        async stream(_request, { signal }, sink) {
          sink.write(numberedFrame(1n));
          await new Promise((resolve) => signal.addEventListener('abort', resolve));
        },
      });
      const { cert, key } = await authority.issue('proxy');
      writeFileSync(join(folder.path, 'tls.crt'), cert);
      writeFileSync(join(folder.path, 'tls.key'), key);
      [webPort, grpcPort] = [await freePort(), await freePort()];
      const command = await prepare({ folder: folder.path, edges, webPort, grpcPort });
      child = launch({ command, orphanSignal: 'SIGTERM', stdio: ['ignore', 'ignore', 'inherit'] });
      await until(() => accepts(grpcPort), name, 30_000);
    });
    after(async () => {
      await stop(child, 'SIGTERM', 5_000);
      await edges[Symbol.asyncDispose]();
      authority[Symbol.dispose]();
      folder.remove();
    });

    const web = (httpVersion: '1.1' | '2') =>
      createConnectTransport({
        baseUrl: `https://localhost:${webPort}`,
        httpVersion,
        nodeOptions: { ca: authority.cert },
      });
    const grpc = () =>
      createGrpcTransport({
        baseUrl: `https://localhost:${grpcPort}`,
        nodeOptions: { ca: authority.cert },
      });

    for (const [protocol, transportOf] of [
      ['Connect over HTTP/1.1', () => web('1.1')],
      ['Connect over HTTP/2', () => web('2')],
      ['gRPC', grpc],
    ] as const)
      test(`${protocol}: calls, streams and error details`, async () => {
        const client = clientOf(transportOf());
        const { message } = await client.write({ channelId: 1n, content: 'hello' }, bearer(edges.token));
        assert.equal(message?.content, 'hello');
        const controller = new AbortController();
        const options = { ...bearer(edges.token), signal: controller.signal };
        const stream = client.stream({}, options)[Symbol.asyncIterator]();
        assert.equal(numberOf((await stream.next()).value), 1n);
        controller.abort();
        const { reason } = await failureOf(
          client.operate({ channelId: 1n, messageId: 1n }, bearer(edges.token)),
        );
        assert.equal(reason, 'CALLER_NOT_ALLOWED');
      });

    test('eight streams of a browser share one connection', async () => {
      const url = `https://localhost:${webPort}`;
      const sessionManager = new Http2SessionManager(url, undefined, { ca: authority.cert });
      const client = clientOf(createConnectTransport({ baseUrl: url, httpVersion: '2', sessionManager }));
      const streams = Array.from({ length: 8 }, () =>
        client.stream({}, bearer(edges.token))[Symbol.asyncIterator](),
      );
      for (const stream of streams) assert.equal(numberOf((await stream.next()).value), 1n);
      sessionManager.abort();
    });
  });
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
