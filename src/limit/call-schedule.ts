import type { Config } from '../config.ts';
import type { CallSchedule } from '../rpc/interceptors/schedule.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { FairSlots } from './fair-slots.ts';
import { Pacer } from './pacer.ts';
import { TenantMix } from './tenant-mix.ts';

export function openCallSchedule(
  { reads, queueSize }: Config['call'],
  { callsWaiting }: Metrics,
): CallSchedule {
  const mix = new TenantMix();
  return {
    pacer: new Pacer(mix, queueSize),
    reads: new FairSlots(reads, queueSize, mix, (count) => callsWaiting.set(count)),
  };
}
