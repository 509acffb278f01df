import type { MessageInitShape } from '@bufbuild/protobuf';
import type { ReactionSchema } from '#gen/serp/discuss/v1/message_pb.ts';
import type { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { signalActivities } from '../activity/view.ts';
import type { Deps } from '../deps.ts';
import { toPatchable } from '../event/log/wire.ts';
import type { Call, Handlers } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';
import { changeReaction, type ReactionChange } from './sql.ts';
import { toEmoji, toReactions } from './view.ts';

type ReactionHandlers = Pick<Handlers<typeof MessageService>, 'addReaction' | 'removeReaction'>;

export function reactionRoutes(deps: Deps): ReactionHandlers {
  return {
    async addReaction(request, call) {
      return { reactions: await change(deps, call, { ...request, added: true }) };
    },

    async removeReaction(request, call) {
      return { reactions: await change(deps, call, { ...request, added: false }) };
    },
  };
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
    change: { case: 'reactionChanged', value: { messageId, emoji, userId, added } },
  });
  const [row] = await db.run(call, (sql) =>
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
      throw errors.reactionLimit();
    default:
      throw errors.messageNotFound();
  }
}
