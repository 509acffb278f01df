import type { MessageInitShape } from '@bufbuild/protobuf';
import type { ReactionSchema } from '#gen/serp/discuss/v1/message_pb.ts';
import { parseExactly } from '../db/exact-json.ts';

type Reaction = { readonly emoji: string; readonly users: bigint[] };

/** Reactions from the column's JSON text. */
export function toReactions(json: string): MessageInitShape<typeof ReactionSchema>[] {
  if (json === '[]') return [];
  return parseExactly<Reaction[]>(json).map(({ emoji, users }) => ({ emoji, userIds: users }));
}
