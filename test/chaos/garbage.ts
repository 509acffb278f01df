// Loaded into an instance before its own code: asked for it, collects all garbage and says what is left, so that what
// is measured is memory in use and not memory that V8 has yet to look at.
process.on('message', () => {
  globalThis.gc?.();
  process.send?.(process.memoryUsage());
});
process.channel?.unref();
