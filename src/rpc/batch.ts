import type { DescMessage, MessageInitShape } from '@bufbuild/protobuf';
import { countFitting } from './response-size.ts';

/** The result of a batch read: every key of the request is in exactly one of the three, in the order of the request. */
type Batch<Key, Entry> = {
  readonly entries: Entry[];
  /** Keys without an entry. */
  readonly missing: Key[];
  /** The last keys, for whose entries the response has no room. */
  readonly remaining: Key[];
};

/** Builds the response of a batch read. It has at least one entry if there is one, so that clients make progress. */
export function toBatch<Key, Entry extends DescMessage>(
  schema: Entry,
  keys: readonly Key[],
  entryOf: (key: Key, index: number) => MessageInitShape<Entry> | undefined,
): Batch<Key, MessageInitShape<Entry>> {
  const found = keys.flatMap((key, index) => {
    const entry = entryOf(key, index);
    return entry === undefined ? [] : [{ entry, index }];
  });
  const entries = found.map(({ entry }) => entry);
  const count = countFitting(schema, entries);
  const end = found[count]?.index ?? keys.length;
  const present = new Set(found.map(({ index }) => index));
  return {
    entries: entries.slice(0, count),
    missing: keys.slice(0, end).filter((_, index) => !present.has(index)),
    remaining: keys.slice(end),
  };
}
