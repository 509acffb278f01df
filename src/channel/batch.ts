import type { MessageShape } from '@bufbuild/protobuf';
import type { PendingQuery } from 'postgres';
import {
  BatchGetChannelsResponse_EntrySchema,
  type ChannelRefSchema,
  type ChannelService,
} from '#gen/serp/discuss/v1/channel_service_pb.ts';
import type { Sql } from '../db/types.ts';
import type { Deps } from '../deps.ts';
import { membershipColumns } from '../membership/sql.ts';
import { toBatch } from '../rpc/batch.ts';
import type { Handlers } from '../rpc/call.ts';
import { isVisible } from './access.ts';
import { type AccessRow, channelColumns, topicOf } from './sql.ts';
import { toChannel, toOwnMembership } from './view.ts';

type BatchHandlers = Pick<Handlers<typeof ChannelService>, 'batchGetChannels'>;
type ChannelRef = MessageShape<typeof ChannelRefSchema>;

export function batchHandlers({ db }: Deps): BatchHandlers {
  return {
    async batchGetChannels({ refs }, call) {
      const { tenantId, userId } = call.caller;
      const rows = await db.run(call, (sql) => listReferenced(sql, tenantId, userId, refs));
      const visible = new Map(
        rows.filter((row) => isVisible(call.caller, row)).map((row) => [row.place, row]),
      );
      return toBatch(BatchGetChannelsResponse_EntrySchema, refs, (ref, place) => {
        const row = visible.get(place);
        if (row === undefined) return undefined;
        return { ref, channel: toChannel(row), membership: toOwnMembership(row), headSeq: row.headSeq };
      });
    },
  };
}

/** Channels by id or entity with the caller's membership, each with the place of its reference. */
function listReferenced(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  refs: readonly ChannelRef[],
): PendingQuery<(AccessRow & { readonly place: number })[]> {
  const ids = refs.map(({ ref }) => (ref.case === 'channelId' ? ref.value : 0n));
  const entities = refs.map(({ ref }) => (ref.case === 'entity' ? ref.value : { type: '', id: 0n }));
  // A type contains no space.
  const types = entities.map(({ type }) => type).join(' ');
  const entityIds = entities.map(({ id }) => id);
  return sql<(AccessRow & { readonly place: number })[]>`
    select (r.place - 1)::int as place, ${channelColumns(sql)}, ${membershipColumns(sql)}
    from unnest(${sql.array(ids, 1016)}, string_to_array(${types}, ' '), ${sql.array(entityIds, 1016)})
      with ordinality as r(id, entity_type, entity_id, place)
    cross join lateral (
      select
        case
          when r.id > 0 then r.id
          else ${topicOf(sql, tenantId, { type: sql`r.entity_type`, id: sql`r.entity_id` })}
        end as channel_id
      -- Without it, row-level security would check every channel before the id is compared.
      offset 0
    ) as k
    join channels c on c.id = k.channel_id
    left join channel_members m
      on m.channel_id = c.id
      and m.tenant_id = c.tenant_id
      and m.user_id = ${userId}
      and is_member_status(m.status)
    where c.tenant_id = ${tenantId}
      and c.deleted_at is null
  `;
}
