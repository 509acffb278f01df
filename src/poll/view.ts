import type { JsonObject, JsonValue, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { timestampMs } from '@bufbuild/protobuf/wkt';
import type { PollSchema } from '#gen/serp/discuss/v1/message_pb.ts';
import type { NewPollSchema } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { parseExactly } from '../db/exact-json.ts';
import { toTimestamp } from '../db/time.ts';
import { type PatchableEvent, toPatchable } from '../event/log/patch.ts';

/** Where in a message's metadata the poll is. */
export const POLL_DATA = 'poll_data';

/** What a poll asks, as the column keeps it; times in epoch ms. */
export type PollData = {
  readonly options: readonly { readonly id: number; readonly text: string }[];
  readonly multiple: boolean;
  readonly anonymous: boolean;
  readonly closeAt: bigint | null;
  readonly closedAt: bigint | null;
};

export function toPollJson(poll: MessageShape<typeof NewPollSchema>): JsonObject {
  return {
    options: poll.options.map((text, index) => ({ id: index + 1, text })),
    multiple: poll.multiple,
    anonymous: poll.anonymous,
    close_at: poll.closeTime === undefined ? null : Math.floor(timestampMs(poll.closeTime)),
    closed_at: null,
  };
}

export function readPoll(metadata: JsonObject): PollData {
  const data = asObject(metadata[POLL_DATA]);
  const options = Array.isArray(data['options']) ? data['options'] : [];
  return {
    options: options.map(asObject).map(({ id, text }) => ({ id: Number(id), text: String(text) })),
    multiple: data['multiple'] === true,
    anonymous: data['anonymous'] === true,
    closeAt: asTime(data['close_at']),
    closedAt: asTime(data['closed_at']),
  };
}

/** A poll with its results, from the metadata and the votes column of its message. */
export function toPoll(metadata: JsonObject, votes: string | null): MessageInitShape<typeof PollSchema> {
  const poll = readPoll(metadata);
  const { voters, options } = readVotes(votes);
  return {
    options: poll.options.map(({ id, text }) => {
      const found = options.find((option) => option.id === BigInt(id));
      return {
        id,
        text,
        voteCount: Number(found?.count ?? 0n),
        voterUserIds: poll.anonymous ? [] : (found?.users ?? []),
      };
    }),
    multiple: poll.multiple,
    anonymous: poll.anonymous,
    closeTime: toTimestamp(poll.closeAt),
    closedTime: toTimestamp(poll.closedAt),
    voterCount: Number(voters),
  };
}

/** The event that votes changed, or the poll was closed. */
export function toPollChanged(
  channelId: bigint,
  messageId: bigint,
  actorId: bigint,
  poll: MessageInitShape<typeof PollSchema>,
): PatchableEvent {
  return toPatchable({
    channelId,
    actorId,
    change: { case: 'pollChanged', value: { messageId, poll } },
  });
}

type Votes = {
  readonly voters: bigint;
  readonly options: readonly { readonly id: bigint; readonly count: bigint; readonly users: bigint[] }[];
};

function readVotes(json: string | null): Votes {
  const none: Votes = { voters: 0n, options: [] };
  if (json === null) return none;
  const votes: { voters: bigint; options: Votes['options'] | null } = parseExactly(json);
  return { voters: votes.voters, options: votes.options ?? [] };
}

function asObject(value: JsonValue | undefined): JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {};
}

function asTime(value: JsonValue | undefined): bigint | null {
  return typeof value === 'number' ? BigInt(value) : null;
}
