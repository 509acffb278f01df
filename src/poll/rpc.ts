import type { MessageInitShape } from '@bufbuild/protobuf';
import type { PollSchema } from '#gen/serp/discuss/v1/message_pb.ts';
import type { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { requireRole } from '../channel/access.ts';
import { fromMetadataJson } from '../db/metadata.ts';
import type { Sql } from '../db/types.ts';
import type { Deps } from '../deps.ts';
import { openOne } from '../encryption/content.ts';
import type { DataKeys } from '../encryption/data-keys.ts';
import { appendEvent } from '../event/log/sql.ts';
import type { LoggedEvent } from '../event/log/wire.ts';
import { lockMessage, rejectDeleted } from '../message/access.ts';
import { findMessage, type MessageRow } from '../message/sql.ts';
import { type PollData, readPoll, toMessage } from '../message/view.ts';
import type { Handlers } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';
import { deleteOtherVotes, insertVotes, listVotes, updatePoll } from './sql.ts';
import { toPollChanged } from './view.ts';

// Actor of the event of a vote in an anonymous poll, which must not name the voter.
const NO_ACTOR = 0n;

type PollHandlers = Pick<Handlers<typeof MessageService>, 'votePoll' | 'closePoll' | 'getPoll'>;
type Poll = MessageInitShape<typeof PollSchema>;
/** The message of a poll after a change. */
type Changed = { readonly row: MessageRow; readonly events: readonly LoggedEvent[] };

export function pollRoutes({ db, relay, encryption }: Deps): PollHandlers {
  return {
    async votePoll(request, call) {
      const { tenantId, userId } = call.caller;
      const { row, events } = await db.lockingTransaction(
        call,
        request.channelId,
        async (sql): Promise<Changed> => {
          const row = await lockMessage(sql, call.caller, request.channelId, request.messageId);
          requireOpen(requirePoll(row), row.now);
          requireOptions(requirePoll(row), request.optionIds);
          const [removed, added] = await Promise.all([
            deleteOtherVotes(sql, tenantId, userId, request),
            insertVotes(sql, tenantId, userId, request),
          ]);
          if (removed.count + added.count === 0) return { row, events: [] };
          const { anonymous } = requirePoll(row);
          return change(sql, tenantId, anonymous ? NO_ACTOR : userId, row.id, null);
        },
      );
      relay.publish(call.caller.tenantId, events);
      return { poll: await toResults(encryption.keys, row) };
    },

    async closePoll({ channelId, messageId }, call) {
      const { row, events } = await db.lockingTransaction(call, channelId, async (sql): Promise<Changed> => {
        const row = await lockMessage(sql, call.caller, channelId, messageId);
        if (row.senderId !== call.caller.userId) requireRole(call.caller, row, 'ADMIN');
        if (requirePoll(row).closedAt !== null) return { row, events: [] };
        return change(sql, call.caller.tenantId, call.caller.userId, row.id, row.now);
      });
      relay.publish(call.caller.tenantId, events);
      return { poll: await toResults(encryption.keys, row) };
    },

    async getPoll({ channelId, messageId }, call) {
      const { tenantId, userId } = call.caller;
      return db.transaction(call, async (sql) => {
        const [[row], votes] = await Promise.all([
          findMessage(sql, call.caller, channelId, messageId),
          listVotes(sql, tenantId, userId, messageId),
        ]);
        if (row === undefined) throw errors.messageNotFound();
        requirePoll(row);
        return {
          poll: await toResults(encryption.keys, row),
          ownOptionIds: votes.map(({ optionId }) => optionId),
        };
      });
    },
  };
}

function requirePoll(row: MessageRow): PollData {
  rejectDeleted(row);
  const metadata = fromMetadataJson(row.metadata);
  if (row.messageType !== 'POLL' || metadata === undefined) throw errors.messageTypeWrong(row.messageType);
  return readPoll(metadata);
}

function requireOpen({ closeAt, closedAt }: PollData, now: bigint): void {
  const time = closedAt ?? closeAt;
  if (time !== null && (closedAt !== null || time <= now)) throw errors.pollClosed(time);
}

function requireOptions({ options, multiple }: PollData, optionIds: readonly number[]): void {
  if (optionIds.some((id) => !options.some((option) => option.id === id)))
    throw errors.fieldInvalid('option_ids', 'contains an option that the poll does not have');
  if (!multiple && optionIds.length > 1)
    throw errors.fieldInvalid('option_ids', 'must contain one option in this poll');
}

async function toResults(keys: DataKeys, row: MessageRow): Promise<Poll> {
  const { poll } = await openOne(keys, toMessage(row));
  return poll ?? {};
}

async function change(
  sql: Sql,
  tenantId: bigint,
  actorId: bigint,
  messageId: bigint,
  closedAt: bigint | null,
): Promise<Changed> {
  const [row] = await updatePoll(sql, tenantId, messageId, closedAt);
  if (row === undefined) throw errors.messageNotFound();
  const changed = toPollChanged(row, actorId);
  return { row, events: await appendEvent(sql, row.channelId, 'POLL_CHANGED', actorId, changed, row.id) };
}
