import type { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import type { Deps } from '../deps.ts';
import { PLACEHOLDER_COUNT, PLACEHOLDER_ID, toPatchable } from '../event/log/wire.ts';
import type { Call, Handlers } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';
import { fromPageToken, pageOf } from '../rpc/page-token.ts';
import type { ReactionQueue } from './queue.ts';
import { listReactions, type ReactionChange, type ReactionPlace } from './sql.ts';
import { type Reactions, toEmoji } from './view.ts';

type ReactionHandlers = Pick<
  Handlers<typeof MessageService>,
  'addReaction' | 'removeReaction' | 'listReactions'
>;

export type ReactionDeps = Deps & { readonly reactionQueue: ReactionQueue };

export function reactionRoutes(deps: ReactionDeps): ReactionHandlers {
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
  { reactionQueue, config }: ReactionDeps,
  call: Call,
  { channelId, messageId, added, ...request }: ReactionChange,
): Promise<Reactions> {
  const { tenantId, userId, name } = call.caller;
  const emoji = toEmoji(request.emoji);
  const event = toPatchable({
    channelId,
    actorId: userId,
    change: {
      case: 'reactionChanged',
      value: { messageId, emoji, userId, added, count: PLACEHOLDER_COUNT, nextUserId: PLACEHOLDER_ID },
    },
  });
  const item = {
    userId: userId.toString(),
    userName: name,
    emoji,
    added,
    payload: event.payload.toString('base64'),
    seqOffset: event.seqOffset,
  };
  const outcome = await reactionQueue.change({ tenantId, channelId, messageId }, item, call.signal);
  switch (outcome.errorReason) {
    case null:
      return outcome.reactions;
    case 'MESSAGE_DELETED':
      throw errors.messageDeleted();
    case 'CHANNEL_ARCHIVED':
      throw errors.channelArchived();
    case 'MEMBER_MUTED':
      throw errors.memberMuted();
    case 'REACTION_LIMIT':
      throw errors.reactionLimit(config.message.maxReactions, config.message.maxReactionUsers);
    case 'MESSAGE_NOT_FOUND':
      throw errors.messageNotFound();
  }
}
