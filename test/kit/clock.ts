import type { App } from './app.ts';

/** Moves the clock by which everything expires to a number of days from now. */
export async function moveClock({ owner }: Pick<App, 'owner'>, days: number): Promise<void> {
  const offset = Math.round(days * 86_400_000);
  await owner`
    insert into retention_clock (offset_ms) values (${offset})
    on conflict (tenant_id) do update set offset_ms = excluded.offset_ms
  `;
}
