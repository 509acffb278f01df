import type { Child } from '../../scripts/lib/child.ts';
import type { ServerCommands } from '../processes/server.ts';
import { callsPerSecond } from './load.ts';

/** Calls per second; appends the microseconds of CPU that the service used for each to `cpu`. */
export async function measureCpu(
  service: Child<ServerCommands>,
  cpu: number[],
  callers: number,
  ms: number,
  call: (index: number) => Promise<unknown>,
): Promise<number> {
  const before = await service.call('cpu');
  const began = performance.now();
  const perSecond = await callsPerSecond(callers, ms, call);
  const calls = (perSecond * (performance.now() - began)) / 1_000;
  cpu.push(((await service.call('cpu')) - before) / calls);
  return perSecond;
}
