import type { Logger } from 'pino';
import { type Config, ConfigError, toConfig } from './config.ts';
import { createLogger } from './telemetry/log.ts';

// Before anything is loaded or opened: the first process of a container ignores signals without a handler.
const stopSignal = new Promise<NodeJS.Signals>((resolve) => {
  process.once('SIGTERM', resolve);
  process.once('SIGINT', resolve);
});

try {
  const config = toConfig(process.env);
  await run(config, createLogger(config.log.level));
} catch (error) {
  if (!(error instanceof ConfigError)) throw error;
  createLogger('fatal').fatal({ problems: error.problems }, 'cannot start: configuration');
  process.exitCode = 1;
}

async function run(config: Config, log: Logger): Promise<void> {
  try {
    // Loading it takes most of the time of a start.
    const { openService } = await import('./service.ts');
    const service = await Promise.race([openService(config, log), stopSignal]);
    if (typeof service === 'string') {
      log.info({ signal: service }, 'stopped before it served');
      // Nothing is served yet, so nothing has to be drained.
      process.exit();
    }
    log.info(
      { grpc: service.grpcAddress, web: service.webAddress, metrics: service.metricsAddress },
      'serving',
    );
    const signal = await stopSignal;
    log.info({ signal }, 'draining');
    await service.drain();
    log.info('stopped');
  } catch (error) {
    log.fatal({ err: error }, 'cannot start');
    process.exitCode = 1;
  }
}
