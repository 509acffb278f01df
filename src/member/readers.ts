import type { PendingQuery } from 'postgres';
import type { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { requireRole, requireVisible, type Visibility } from '../channel/access.ts';
import type { Sql } from '../db/types.ts';
import type { Deps } from '../deps.ts';
import type { Handlers } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';
import { fromPageToken, pageOf } from '../rpc/page-token.ts';

type ReaderHandlers = Pick<Handlers<typeof MemberService>, 'listReaders'>;

export function readerHandlers({ config, db }: Deps): ReaderHandlers {
  return {
    async listReaders({ channelId, messageId, pageSize, pageToken }, call) {
      const { tenantId, userId } = call.caller;
      const { readersMaxMembers } = config.channel;
      const after = fromPageToken(pageToken, 1)?.[0] ?? 0n;
      const [found] = await db.run(call, (sql) =>
        listReaders(sql, tenantId, userId, { channelId, messageId }, after, pageSize + 1),
      );
      const row = requireVisible(call.caller, found);
      requireRole(call.caller, row, 'GUEST');
      if (row.readers === null) throw errors.messageNotFound();
      if (row.memberCount > readersMaxMembers)
        throw errors.channelTooLarge(readersMaxMembers, row.memberCount);
      const { page, nextPageToken } = pageOf(row.readers, pageSize, (last) => [last]);
      return { userIds: page, nextPageToken };
    },
  };
}

type ReadersRow = Visibility & {
  readonly memberCount: number;
  /** Null when the channel does not contain the message. */
  readonly readers: bigint[] | null;
};

/**
 * Members whose marker has reached a message, from the one after a user on, except its sender and members who joined
 * later. No row when the channel does not exist.
 */
function listReaders(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  { channelId, messageId }: { readonly channelId: bigint; readonly messageId: bigint },
  after: bigint,
  limit: number,
): PendingQuery<ReadersRow[]> {
  return sql<ReadersRow[]>`
    select
      c.type, c.is_private, me.role, c.member_count,
      case
        when x.id is not null then array(
          select m.user_id
          from channel_members m
          where m.tenant_id = ${tenantId}
            and m.channel_id = ${channelId}
            and is_member_status(m.status)
            and m.read_post_seq >= x.post_seq
            and m.user_id != x.sender_id
            and m.joined_at <= x.created_at
            and m.user_id > ${after}
          order by m.user_id
          limit ${limit}
        )
      end as readers
    from channels c
    left join channel_members me
      on me.channel_id = c.id
      and me.tenant_id = c.tenant_id
      and me.user_id = ${userId}
      and is_member_status(me.status)
    left join messages x on x.id = ${messageId} and x.channel_id = c.id and x.tenant_id = c.tenant_id
    where c.id = ${channelId}
      and c.tenant_id = ${tenantId}
      and c.deleted_at is null
  `;
}
