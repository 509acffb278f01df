// Every benchmark, in the order in which a run takes them.
import { scanMemory } from './attachment/scan-memory.ts';
import { scanThroughput } from './attachment/scan-throughput.ts';
import { sendBesideWorkers } from './attachment/send-beside-workers.ts';
import { thumbnailMs } from './attachment/thumbnail-ms.ts';
import { fanoutGrpc, fanoutWeb } from './fanout/fanout.ts';
import { latency } from './fanout/latency.ts';
import { relayCost } from './fanout/relay-cost.ts';
import { replay } from './fanout/replay.ts';
import { streamMemoryGrpc, streamMemoryWeb } from './fanout/stream-memory.ts';
import { tenThousandStreams } from './fanout/ten-thousand-streams.ts';
import { dayOfMessages, yearOfMessages } from './growth/year-of-messages.ts';
import type { Benchmark } from './lib/benchmark.ts';
import { mentionAllBeside } from './limit/mention-all-beside.ts';
import { noisyNeighbour, noisyNeighbourUnlimited } from './limit/noisy-neighbour.ts';
import { presenceStorm } from './presence/presence-storm.ts';
import { typingFanout } from './presence/typing-fanout.ts';
import { reactionsHot } from './reaction/reactions-hot.ts';
import { cacheGain } from './read/cache-gain.ts';
import { historyPage } from './read/history-page.ts';
import { listChannels } from './read/list-channels.ts';
import { sendBesidePurge } from './retention/send-beside-purge.ts';
import { search } from './search/search.ts';
import { manyTenantsVsOne } from './send/many-tenants-vs-one.ts';
import { postgresSend } from './send/postgres-send.ts';
import { sendEncryptedVsPlain } from './send/send-encrypted-vs-plain.ts';
import { sendFlat } from './send/send-flat.ts';
import { sendStream } from './send/send-stream.ts';
import { sendTracedVsUntraced } from './send/send-traced-vs-untraced.ts';
import { sendVsDocument10, sendVsDocument100, sendVsDocument1000 } from './send/send-vs-document.ts';
import { sendVsNoop } from './send/send-vs-noop.ts';
import { sendWebVsSend } from './send/send-web-vs-send.ts';

export const BENCHMARKS: readonly Benchmark[] = [
  sendVsNoop,
  sendStream,
  sendVsDocument10,
  sendVsDocument100,
  sendVsDocument1000,
  postgresSend,
  sendFlat,
  sendEncryptedVsPlain,
  sendTracedVsUntraced,
  sendWebVsSend,
  manyTenantsVsOne,
  fanoutGrpc,
  fanoutWeb,
  latency,
  streamMemoryGrpc,
  streamMemoryWeb,
  replay,
  relayCost,
  tenThousandStreams,
  listChannels,
  historyPage,
  cacheGain,
  reactionsHot,
  search,
  presenceStorm,
  typingFanout,
  noisyNeighbour,
  noisyNeighbourUnlimited,
  mentionAllBeside,
  sendBesidePurge,
  dayOfMessages,
  yearOfMessages,
  scanThroughput,
  thumbnailMs,
  sendBesideWorkers,
  scanMemory,
];

/** Those that have one of these as subject or as the beginning of their name; without any, the headline ones. */
export function selectBenchmarks(wanted: readonly string[]): Benchmark[] {
  if (wanted.length === 0) return BENCHMARKS.filter(({ isHeadline }) => isHeadline);
  return BENCHMARKS.filter(({ name, subject }) =>
    wanted.some((word) => word === 'all' || subject === word || name.startsWith(word)),
  );
}
