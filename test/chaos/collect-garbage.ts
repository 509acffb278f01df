// Loaded into an instance before its own code. On request it collects garbage and reports the memory that remains, so
// that measurements do not include garbage.
process.on('message', () => {
  globalThis.gc?.();
  process.send?.({ ...process.memoryUsage(), peak: process.resourceUsage().maxRSS * 1_024 });
});
process.channel?.unref();
