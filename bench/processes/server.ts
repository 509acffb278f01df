// An instance of the service, with commands for the benchmarks.

import { serveCommands } from '../../scripts/lib/child.ts';
import { toConfig } from '../../src/config.ts';
import { openService } from '../../src/service.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { usage } from '../lib/usage.ts';

export type ServerCommands = typeof commands;

// Logs as in production; the parent process discards the output.
const log = createLogger('info');
const service = await openService(toConfig(process.env), log);

const commands = {
  ...usage,
  addresses: () => ({ grpc: service.grpcAddress, web: service.webAddress }),
};

process.once('SIGTERM', () => void service.drain().finally(() => process.exit()));
serveCommands(commands);
