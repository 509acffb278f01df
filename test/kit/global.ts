// Loaded into the process of every test file, before node:test.
import asyncHooks from 'node:async_hooks';

// node:test follows all asynchronous work in order to find the test of an uncaught exception. Following promises as well took
// half of the CPU time of the tests of streams (63 s instead of 33 s in src/event/subscribe/rpc.test.ts). Without it, call `it`,
// `before` and `after` before the first `await` of a function.
const { createHook } = asyncHooks;
asyncHooks.createHook = (callbacks) => createHook({ ...callbacks, trackPromises: false });
await import('node:test');
asyncHooks.createHook = createHook;

// A call of process.exit would hide the tests that have not run yet.
let hasEnded = false;
process.once('beforeExit', () => {
  hasEnded = true;
});
process.once('exit', () => {
  if (!hasEnded) process.exitCode = process.exitCode || 1;
});

const { ppid } = process;
const deadlineMs = Number(process.env['TEST_FILE_TIMEOUT_MS'] ?? 300_000);

// When the runner is killed, its test processes must end.
setInterval(() => {
  if (process.ppid !== ppid) process.exit(1);
}, 500).unref();

// The runner has no time limit for a file that leaves something open after its tests.
setTimeout(() => {
  console.error(`not over after ${deadlineMs / 1000} s; open: ${JSON.stringify(openHandles(), null, 1)}`);
  process.exit(1);
}, deadlineMs).unref();

/** What keeps the process from ending, with addresses and times. */
function openHandles(): unknown[] {
  const { libuv = [] } = Object(process.report.getReport());
  return libuv.filter((handle: object) => Reflect.get(handle, 'is_referenced') === true);
}
