import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

// docs/decisions.md states what the parts are.
const MAX_KILOBYTES = 53;

test('the client in a page, with the generated code that it uses', async () => {
  const { outputFiles } = await build({
    stdin: {
      contents: `
        export { createConnectTransport } from '@connectrpc/connect-web';
        export { createClient } from '@connectrpc/connect';
        export * from './client/src/store.ts';
        export * from './client/src/authorize.ts';
        export * from './client/src/shared-subscription.ts';
        export * from './client/src/read-channel.ts';
        export * from './client/src/outbox.ts';
        export * from './client/src/indexed-db-storage.ts';
      `,
      resolveDir: process.cwd(),
    },
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    write: false,
  });
  const kilobytes = gzipSync(outputFiles[0]?.contents ?? '', { level: 9 }).length / 1_000;
  console.log(`# ${kilobytes.toFixed(1)} KB gzipped`);
  assert.ok(kilobytes > 10 && kilobytes < MAX_KILOBYTES, `${kilobytes} KB`);
});
