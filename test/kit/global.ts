// Loaded into the process of every test file.
const { ppid } = process;
const deadlineMs = Number(process.env['TEST_FILE_TIMEOUT_MS'] ?? 300_000);

// When the runner is killed, its test processes must not live on.
setInterval(() => {
  if (process.ppid !== ppid) process.exit(1);
}, 500).unref();

// The runner waits for ever for a file whose tests are over but that left something open.
setTimeout(() => {
  console.error(
    `not over after ${deadlineMs / 1000} s; open: ${process.getActiveResourcesInfo().join(', ')}`,
  );
  process.exit(1);
}, deadlineMs).unref();
