// Loaded into the process of every test file.
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
