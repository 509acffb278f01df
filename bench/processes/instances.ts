// Several instances of the service in one process, with commands for the benchmarks.

import { serveCommands } from '../../scripts/lib/child.ts';
import { toConfig } from '../../src/config.ts';
import { openService } from '../../src/service.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { usage } from '../lib/usage.ts';

export type InstancesCommands = typeof commands;

const log = createLogger('warn');
const services = await Promise.all(
  Array.from({ length: Number(process.env['INSTANCES']) }, (_, index) =>
    openService(toConfig({ ...process.env, INSTANCE_ID: `simulated-${index}` }), log),
  ),
);

const commands = {
  ...usage,
  addresses: () => services.map((service) => service.grpcAddress),
};

process.once('SIGTERM', () => process.exit());
serveCommands(commands);
