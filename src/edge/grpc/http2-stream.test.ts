import assert from 'node:assert/strict';
import { test } from 'node:test';
import { http2StreamOf, probeHttp2Stream } from './http2-stream.ts';

test('the probe passes with the installed version of grpc-js', async () => {
  await probeHttp2Stream();
});

test('the probe rejects, and closes its server, when a call has no HTTP/2 stream', async () => {
  await assert.rejects(
    probeHttp2Stream(() => http2StreamOf({ call: { stream: {} } })),
    /does not keep the HTTP\/2 stream/,
  );
});
