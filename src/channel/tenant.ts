import type { PendingQuery } from 'postgres';
import {
  type ChannelService,
  ListTenantChannelsResponse_EntrySchema,
} from '#gen/serp/discuss/v1/channel_service_pb.ts';
import type { Sql } from '../db/types.ts';
import type { Deps } from '../deps.ts';
import type { Handlers } from '../rpc/call.ts';
import { isManager, requireTenant } from '../rpc/caller.ts';
import { errors } from '../rpc/errors.ts';
import { fromPageToken, pageOfItems } from '../rpc/page-token.ts';
import { type ChannelRow, channelColumns } from './sql.ts';
import { toChannel } from './view.ts';

type TenantHandlers = Pick<Handlers<typeof ChannelService>, 'listTenantChannels'>;

export function tenantHandlers({ db }: Deps): TenantHandlers {
  return {
    async listTenantChannels(request, call) {
      const { caller } = call;
      if (!isManager(caller))
        throw errors.callerNotAllowed('ListTenantChannels is for services that act for no user');
      requireTenant(caller);
      const [after] = fromPageToken(request.pageToken, 1) ?? [];
      const rows = await db.run(call, (sql) =>
        listTenantChannels(sql, caller.tenantId, after ?? 0n, request.pageSize + 1),
      );
      const { items, nextPageToken } = pageOfItems(
        rows,
        request.pageSize,
        ListTenantChannelsResponse_EntrySchema,
        (row) => ({ channel: toChannel(row), headSeq: row.headSeq }),
        (last) => [last.id],
      );
      return { entries: items, nextPageToken };
    },
  };
}

/**
 * Channels of a tenant after an id, in the order of their ids. Merges the first channels of each type, archived or not,
 * because idx_channels_tenant_type orders by these before the id: an index for this statement alone would be written by
 * every message.
 */
function listTenantChannels(
  sql: Sql,
  tenantId: bigint,
  after: bigint,
  limit: number,
): PendingQuery<ChannelRow[]> {
  return sql<ChannelRow[]>`
    select page.*
    from (values ('DIRECT'), ('GROUP'), ('TOPIC')) as kind(type)
    cross join (values (false), (true)) as state(is_archived)
    cross join lateral (
      select ${channelColumns(sql)}
      from channels c
      where c.tenant_id = ${tenantId}
        and c.type = kind.type
        and c.is_archived = state.is_archived
        and c.id > ${after}
        and c.deleted_at is null
      order by c.id
      limit ${limit}
    ) as page
    order by page.id
    limit ${limit}
  `;
}
