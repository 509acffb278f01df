import { setTimeout as sleep } from 'node:timers/promises';
import type { FaultMode, FaultProxy } from '../../kit/fault-proxy.ts';
import type { FileServers } from '../file-servers.ts';
import type { Fault } from '../run.ts';
import { noStreamBroke } from './checks.ts';

// Messages must not wait for the store or the scanner.
const MAX_PAUSE_SECONDS = 2;
const MAX_DELIVERY_SECONDS = 2;

// For uploads.
const EXPECTED = new Set(['UNAVAILABLE', 'DEADLINE_EXCEEDED']);

/** The store of files has a mode for a while. Uploads wait; messages without files do not. */
export function storeFails(mode: FaultMode, ms: number): Fault {
  return toFault(`store-${mode}`, ms, mode, ({ store }) => store);
}

/** The same for clamd. Uploads and messages continue. */
export function scannerFails(mode: FaultMode, ms: number): Fault {
  return toFault(`scanner-${mode}`, ms, mode, ({ scanner }) => scanner);
}

function toFault(
  name: string,
  ms: number,
  mode: FaultMode,
  proxyOf: (servers: FileServers) => FaultProxy,
): Fault {
  return {
    name,
    async run({ fileServers }) {
      const proxy = proxyOf(fileServers);
      proxy.mode = mode;
      await sleep(ms);
      proxy.mode = 'pass';
    },
    check: (report) => [
      ...noStreamBroke(report),
      ...(report.pauseSeconds > MAX_PAUSE_SECONDS
        ? [`no message was acknowledged for ${report.pauseSeconds} s`]
        : []),
      ...(report.slowestDeliverySeconds > MAX_DELIVERY_SECONDS
        ? [`a message took ${report.slowestDeliverySeconds} s to arrive`]
        : []),
      ...Object.keys(report.errors)
        .filter((code) => !EXPECTED.has(code))
        .map((code) => `a client received ${code}`),
    ],
  };
}
