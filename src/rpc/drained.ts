import type { Sink } from './call.ts';

/** When the client has read what a stream has sent, or the call ends. Undefined if nothing is unread. */
export function drained(sink: Sink, signal: AbortSignal): Promise<void> | undefined {
  if (sink.buffered === 0) return undefined;
  return new Promise((resolve) => {
    const done = () => {
      signal.removeEventListener('abort', done);
      resolve();
    };
    signal.addEventListener('abort', done, { once: true });
    sink.onDrain(done);
  });
}
