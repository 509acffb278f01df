import type { MessageInitShape } from '@bufbuild/protobuf';
import type { ReactionSchema } from '#gen/serp/discuss/v1/message_pb.ts';
import { parseExactly } from '../db/exact-json.ts';
import { errors } from '../rpc/errors.ts';

type ShortenedReaction = {
  readonly emoji: string;
  readonly users: bigint[];
  /** Number of users where `users` is truncated. */
  readonly count?: bigint;
};

export type Reactions = MessageInitShape<typeof ReactionSchema>[];

/** Reactions from the JSON text of `shorten_reactions`. */
export function toReactions(json: string): Reactions {
  if (json === '[]') return [];
  return parseExactly<ShortenedReaction[]>(json).map(({ emoji, users, count }) => ({
    emoji,
    userIds: users,
    count: Number(count ?? users.length),
  }));
}

// The `v` flag matches emoji of several code points: flags, families, skin tones, keycaps.
const emojiPattern = /^\p{RGI_Emoji}$/v;
const namePattern = /^:[a-z0-9_+-]{1,64}:$/;
// Characters that are emoji only when U+FE0F follows, and are often written without it.
const unqualified = /(?!\p{Emoji_Presentation})(?![0-9#*])\p{Emoji}(?!\uFE0F|\p{Emoji_Modifier})/gu;
/** The canonical form of a reaction, ❤️ for ❤ too, so that equivalent emoji are counted together. */
export function toEmoji(text: string): string {
  if (namePattern.test(text)) return text;
  const qualified = text.replace(unqualified, '$&\uFE0F');
  if (!emojiPattern.test(qualified)) throw errors.fieldInvalid('emoji', 'must be one emoji or a :name:');
  return qualified;
}
