import type { Config } from '../config.ts';
import type { CallSchedule } from '../rpc/interceptors/schedule.ts';
import { PendingResponses } from '../rpc/pending-responses.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { FairSlots } from './fair-slots.ts';
import { Pacer } from './pacer.ts';
import { TenantMix } from './tenant-mix.ts';

export function openCallSchedule(config: Config['call'], metrics: Metrics): CallSchedule {
  const { queueSize } = config;
  const mix = new TenantMix();
  const pending = new PendingResponses(config, metrics, () => reads.startWaiting());
  const reads = new FairSlots(config.reads, queueSize, mix, {
    isLagging: (caller) => pending.isLagging(caller),
    observe: (count) => metrics.callsWaiting.set(count),
  });
  return { pacer: new Pacer(mix, queueSize), reads, pending };
}
