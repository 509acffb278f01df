import { readFileSync } from 'node:fs';
import { Redis } from 'ioredis';
import type { Pool } from '../../src/db/types.ts';

const NS_PER_US = 1_000;
const US_PER_S = 1_000_000;

/** CPU time used so far by the service's connections to a database, µs. Linux reports it in nanoseconds. */
export async function databaseCpu(sql: Pool): Promise<number> {
  const rows = await sql<{ pid: number }[]>`
    select pid
    from pg_stat_activity
    where datname = current_database() and application_name like 'discuss/%'
  `;
  return rows.reduce((sum, { pid }) => sum + cpuOf(pid), 0);
}

/** CPU time used so far by the only connection of a pool, µs. */
export async function backendCpu(sql: Pool): Promise<number> {
  const [row] = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`;
  return cpuOf(row?.pid ?? 0);
}

function cpuOf(pid: number): number {
  const [ns] = readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ');
  return Number(ns) / NS_PER_US;
}

/** CPU time used so far by Redis, µs. */
export async function redisCpu(redis: Redis): Promise<number> {
  const text = await redis.info('cpu');
  return [...text.matchAll(/^used_cpu_(?:sys|user):([\d.]+)/gm)].reduce(
    (sum, [, seconds]) => sum + Number(seconds) * US_PER_S,
    0,
  );
}

/** Number of commands that Redis has run so far, including those in scripts. */
export async function redisCommands(redis: Redis): Promise<number> {
  const text = await redis.info('commandstats');
  return [...text.matchAll(/^cmdstat_(?!info)[^:]+:calls=(\d+)/gm)].reduce(
    (sum, [, calls]) => sum + Number(calls),
    0,
  );
}

export function openRedis(url: string): Redis & AsyncDisposable {
  const redis = new Redis(url);
  return Object.assign(redis, {
    async [Symbol.asyncDispose]() {
      redis.disconnect();
    },
  });
}
