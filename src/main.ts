import { ConfigError, toConfig } from './config.ts';
import { openService } from './service.ts';
import { createLogger } from './telemetry/log.ts';

const log = createLogger(process.env['LOG_LEVEL'] ?? 'info');

try {
  const service = await openService(toConfig(process.env), log);
  log.info(
    { grpc: service.grpcAddress, web: service.webAddress, metrics: service.metricsAddress },
    'serving',
  );
  const signal = await new Promise<NodeJS.Signals>((resolve) => {
    process.once('SIGTERM', resolve);
    process.once('SIGINT', resolve);
  });
  log.info({ signal }, 'draining');
  await service.drain();
  log.info('stopped');
} catch (error) {
  if (error instanceof ConfigError) log.fatal({ problems: error.problems }, 'cannot start: configuration');
  else log.fatal({ err: error }, 'cannot start');
  process.exitCode = 1;
}
