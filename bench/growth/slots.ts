import type { Pool } from '../../src/db/types.ts';
import { textAt } from '../lib/texts.ts';

/** The messages of a round have every slot once, so that the position of a message follows from its number. */
export const ROUND = 10_000;
export const CHANNELS = 1_000;
const TEXTS = 400;
// Even in quiet channels, a round of the smallest benchmark has more than a page after ten rounds.
const LEAST = 5;

type Slot = { readonly channel: number; readonly rank: number };

/**
 * Creates the tables from which messages are filled: `bench_texts` has texts with their words, `bench_slots` the channels of a
 * round. Half of the messages are spread evenly, the other half by Zipf's law: the busiest channel has 7 % of all.
 */
export async function createSlots(sql: Pool): Promise<void> {
  const texts = JSON.stringify(Array.from({ length: TEXTS }, (_, index) => textAt(index)));
  await sql`
    create table bench_texts as
    select t.nth - 1 as number, t.content, message_vector(t.content) as words
    from json_array_elements_text(${texts}::text::json) with ordinality as t(content, nth)
  `;
  const counts = countsOf();
  const slots = JSON.stringify(shuffle(counts.flatMap((count, channel) => slotsOf(channel + 1, count))));
  await sql`
    create table bench_slots as
    select s.nth - 1 as number, (s.slot ->> 'channel')::bigint as channel_id, (s.slot ->> 'rank')::bigint as rank,
      count(*) over (partition by s.slot ->> 'channel') as per_round
    from json_array_elements(${slots}::text::json) with ordinality as s(slot, nth)
  `;
  await sql`analyze bench_texts, bench_slots`;
}

/** Messages of each channel in a round. */
function countsOf(): number[] {
  const spread = ROUND - LEAST * CHANNELS;
  const total = Array.from({ length: CHANNELS }, (_, index) => 1 / (index + 1)).reduce((a, b) => a + b, 0);
  const counts = Array.from(
    { length: CHANNELS },
    (_, index) => LEAST + Math.floor(spread / (index + 1) / total),
  );
  let rest = ROUND - counts.reduce((a, b) => a + b, 0);
  return counts.map((count) => {
    rest -= 1;
    return rest >= 0 ? count + 1 : count;
  });
}

function slotsOf(channel: number, count: number): Slot[] {
  return Array.from({ length: count }, (_, index) => ({ channel, rank: index + 1 }));
}

/** In an order that does not change; the slots of a channel keep their ranks in order. */
function shuffle(slots: readonly Slot[]): Slot[] {
  const seen = new Map<number, number>();
  return slots
    .map((slot, index) => ({ slot, order: (index * 7_919) % ROUND }))
    .toSorted((a, b) => a.order - b.order)
    .map(({ slot: { channel } }) => {
      const rank = (seen.get(channel) ?? 0) + 1;
      seen.set(channel, rank);
      return { channel, rank };
    });
}
