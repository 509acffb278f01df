import type { Logger } from 'pino';
import postgres from 'postgres';
import type { Config } from '../config.ts';
import { ReconnectingPool } from './reconnecting-pool.ts';
import type { ServerList } from './sockets.ts';
import { types } from './types.ts';

// PostgreSQL shortens an application_name to 63 bytes. Instances differ at the end, by the id of their process.
const MAX_INSTANCE_LENGTH = 35;

export type PoolParts = {
  readonly config: Config;
  readonly log: Logger;
  readonly servers: ServerList;
  readonly url: string;
};

/** `use`: what its statements are for, part of application_name; unique in the instance. */
export function openPool(
  { config, log, servers, url }: PoolParts,
  use: string,
  max: number,
  statementMs = config.call.maxDeadlineMs,
): ReconnectingPool {
  const name = `discuss/${config.instance.slice(-MAX_INSTANCE_LENGTH)}/${use}`;
  const options = toOptions(config, log, name, statementMs);
  return new ReconnectingPool((parts) => postgres(url, { ...options, ...servers.current, ...parts, max }), {
    name,
    max,
    graceSeconds: max === 1 ? 0 : 1,
    connectTimeoutMs: config.db.connectTimeoutMs,
    servers,
  });
}

function toOptions({ db }: Config, log: Logger, name: string, statementMs: number) {
  return {
    prepare: db.prepare,
    connect_timeout: db.connectTimeoutMs / 1000,
    // The driver's default grows to 20 s, which is too long after a restart of the database.
    backoff: (retries: number) => Math.min(0.05 * 2 ** retries, 0.5),
    types,
    fetch_types: false,
    transform: postgres.camel,
    connection: {
      application_name: name,
      statement_timeout: statementMs,
      // An instance that hangs must not keep a channel's row locked.
      idle_in_transaction_session_timeout: 5_000,
    },
    onnotice: (notice: postgres.Notice) => log.debug({ notice: notice['message'] }, 'database notice'),
  };
}
