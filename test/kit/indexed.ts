import type { App } from './app.ts';
import { until } from './until.ts';

/** Indexes what is new, and waits until searches find the current content of all messages. */
export function indexed({ owner }: Pick<App, 'owner'>): Promise<void> {
  return until(async () => {
    // As the job of the instances does, at longer intervals.
    await owner`select from index_messages(2000)`;
    const missing = await owner`
      select
      from channel_events e
      where e.xid >= coalesce((select w.horizon from search_words w where w.tenant_id = 0 and w.word = ''), '0')
        and e.kind like 'MESSAGE\\_%'
      limit 1
    `;
    return missing.length === 0;
  }, 'the search index contains all messages');
}
