import type { MessageInitShape } from '@bufbuild/protobuf';
import type { ReactionSchema } from '#gen/serp/discuss/v1/message_pb.ts';
import type { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { signalActivities } from '../activity/view.ts';
import type { Deps } from '../deps.ts';
import { PLACEHOLDER_COUNT, PLACEHOLDER_ID, toPatchable } from '../event/log/wire.ts';
import type { Call, Handlers } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';
import { fromPageToken, pageOf } from '../rpc/page-token.ts';
import { changeReaction, listReactions, type ReactionChange, type ReactionPlace } from './sql.ts';
import { toEmoji, toReactions } from './view.ts';

type ReactionHandlers = Pick<
  Handlers<typeof MessageService>,
  'addReaction' | 'removeReaction' | 'listReactions'
>;

export function reactionRoutes(deps: Deps): ReactionHandlers {
  return {
    async addReaction(request, call) {
      return { reactions: await change(deps, call, { ...request, added: true }) };
    },

    async removeReaction(request, call) {
      return { reactions: await change(deps, call, { ...request, added: false }) };
    },

    async listReactions(request, call) {
      const size = request.pageSize;
      const message = { ...request, emoji: request.emoji === '' ? '' : toEmoji(request.emoji) };
      const after = toPlace(request.pageToken);
      const rows = await deps.db.run(call, (sql) =>
        listReactions(sql, call.caller, message, after, size + 1),
      );
      if (rows.length === 0) throw errors.messageNotFound();
      const reactions = rows.flatMap((row) => (row.emoji === null ? [] : [row]));
      const { page, nextPageToken } = pageOf(reactions, size, (last) => [last.emojiHash, last.userId]);
      return { entries: page.map(({ emoji, userId }) => ({ emoji, userId })), nextPageToken };
    },
  };
}

function toPlace(pageToken: string): ReactionPlace | undefined {
  const keys = fromPageToken(pageToken, 2);
  return keys === undefined ? undefined : [keys[0] ?? 0n, keys[1] ?? 0n];
}

async function change(
  { db, relay, config }: Deps,
  call: Call,
  request: ReactionChange,
): Promise<MessageInitShape<typeof ReactionSchema>[]> {
  const { userId } = call.caller;
  const { channelId, messageId, added } = request;
  const emoji = toEmoji(request.emoji);
  const event = toPatchable({
    channelId,
    actorId: userId,
    change: {
      case: 'reactionChanged',
      value: { messageId, emoji, userId, added, count: PLACEHOLDER_COUNT, nextUserId: PLACEHOLDER_ID },
    },
  });
  const [row] = await db.lockingRun(call, `reactions:${channelId}`, (sql) =>
    changeReaction(sql, { channelId, messageId, emoji, added }, config.message, event, call.caller.name),
  );
  switch (row?.errorReason) {
    case null:
      if (row.seq !== null) relay.publish([{ channelId, seq: row.seq, payload: row.payload }]);
      signalActivities(relay, row.activities);
      return toReactions(row.reactions);
    case 'MESSAGE_DELETED':
      throw errors.messageDeleted();
    case 'CHANNEL_ARCHIVED':
      throw errors.channelArchived();
    case 'MEMBER_MUTED':
      throw errors.memberMuted();
    case 'REACTION_LIMIT':
      throw errors.reactionLimit(config.message.maxReactions, config.message.maxReactionUsers);
    default:
      throw errors.messageNotFound();
  }
}
