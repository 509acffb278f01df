import type { App } from './app.ts';
import { until } from './until.ts';

/** Waits until so many statements in the app's database wait for a lock that the test holds. */
export async function untilLocksAreAwaited({ owner }: App, statements: number): Promise<void> {
  await until(async () => {
    const [row] = await owner<{ waiting: number }[]>`
      select count(*)::int as waiting
      from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'
    `;
    return row !== undefined && row.waiting >= statements;
  }, `${statements} waiting statements`);
}
