// Ends with exit code 0 if the instance on this machine is ready, for images without a shell or an HTTP client.
import { toConfig } from './config.ts';
import { joinAddress, splitAddress } from './telemetry/address.ts';

const TIMEOUT_MS = 2_000;
const ANY_ADDRESS: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' };

const { host, port } = splitAddress(toConfig(process.env).metrics.address);
const url = `http://${joinAddress(ANY_ADDRESS[host] ?? host, port)}/readyz`;
try {
  const { status } = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (status !== 200) throw new Error(`status ${status}`);
} catch (error) {
  console.error(`${url}: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
}
