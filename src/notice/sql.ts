import type { PendingQuery } from 'postgres';
import type { SystemNotice } from '#gen/serp/discuss/v1/message_pb.ts';
import type { Config } from '../config.ts';
import type { Sql } from '../db/types.ts';
import type { LoggedEvent } from '../event/log/wire.ts';
import type { Caller } from '../rpc/call.ts';
import { type NoticeInit, toNotice, toNoticeJson, toNoticePosted } from './view.ts';

/**
 * Statements that post notices of the caller's change in a channel; none when notices are disabled. To be awaited in
 * one list, after the event of the change, so that they are sent in that order and in one round trip.
 */
export function postNotices(
  { sql, caller, config }: { readonly sql: Sql; readonly caller: Caller; readonly config: Config },
  channelId: bigint,
  ...notices: readonly NoticeInit[]
): PendingQuery<LoggedEvent[]>[] {
  if (!config.channel.notices) return [];
  return notices.map((each) => postNotice(sql, channelId, toNotice(caller, each)));
}

function postNotice(sql: Sql, channelId: bigint, notice: SystemNotice): PendingQuery<LoggedEvent[]> {
  const { payload, seqOffset, messageOffset } = toNoticePosted(channelId, notice);
  return sql<LoggedEvent[]>`
    select channel_id, seq, payload
    from post_notice(
      ${channelId}, ${toNoticeJson(notice)}::text::jsonb, ${notice.actorId}, ${payload}, ${seqOffset}, ${messageOffset}
    )
  `;
}
