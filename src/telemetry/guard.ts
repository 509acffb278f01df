import type { Logger } from 'pino';
import type { Metrics } from './metrics.ts';

/**
 * A listener that never throws. Node ends the process on an exception in a listener of a socket, stream or Redis client;
 * one call or message must not end all others. The error is logged and counted under `name`, and passed to `failed`, which
 * ends what the listener was called for.
 */
export function guard<Args extends unknown[]>(
  name: string,
  { log, metrics }: { readonly log: Logger; readonly metrics: Metrics },
  listener: (...args: Args) => void,
  failed: (error: unknown, ...args: Args) => void = () => {},
): (...args: Args) => void {
  return (...args) => {
    try {
      listener(...args);
    } catch (error) {
      metrics.listenerErrors.inc({ listener: name });
      log.error({ err: error, listener: name }, 'exception in a listener');
      failed(error, ...args);
    }
  };
}
