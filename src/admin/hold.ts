import type { MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import type { PendingQuery } from 'postgres';
import {
  type AdminService,
  HoldSchema,
  type PlaceHoldRequestSchema,
} from '#gen/serp/discuss/v1/admin_service_pb.ts';
import { toTimestamp } from '../db/time.ts';
import type { Sql } from '../db/types.ts';
import type { Deps } from '../deps.ts';
import type { Handlers } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';
import { fromPageToken, pageOfItems } from '../rpc/page-token.ts';

type HoldHandlers = Pick<Handlers<typeof AdminService>, 'placeHold' | 'releaseHold' | 'listHolds'>;

const LAST = 0x7fff_ffff_ffff_ffffn;

export function holdHandlers({ db }: Deps): HoldHandlers {
  return {
    async placeHold(request, call) {
      const [row] = await db.run(call, (sql) => placeHold(sql, request, call.caller.userId));
      // The active hold was released at this moment.
      if (row === undefined || row.id === null) throw errors.conflict();
      return { hold: toHold(row) };
    },

    async releaseHold({ tenantId, holdId }, call) {
      const [row] = await db.run(call, (sql) => releaseHold(sql, tenantId, holdId, call.caller.userId));
      if (row === undefined || row.id === null)
        throw errors.fieldInvalid('hold_id', 'is not a hold of the tenant');
      return { hold: toHold(row) };
    },

    async listHolds({ tenantId, includeReleased, pageSize, pageToken }, call) {
      const before = fromPageToken(pageToken, 1)?.[0] ?? LAST;
      const rows = await db.run(call, (sql) =>
        listHolds(sql, tenantId, includeReleased, before, pageSize + 1),
      );
      const { items, nextPageToken } = pageOfItems(rows, pageSize, HoldSchema, toHold, (last) => [last.id]);
      return { holds: items, nextPageToken };
    },
  };
}

type HoldRow = {
  readonly id: bigint;
  readonly tenantId: bigint;
  readonly channelId: bigint | null;
  readonly userId: bigint | null;
  readonly entityType: string | null;
  readonly entityId: bigint | null;
  readonly reason: string;
  readonly placedAt: bigint;
  readonly placedBy: bigint;
  readonly releasedAt: bigint | null;
  readonly releasedBy: bigint | null;
};

/** A function that finds no hold returns a row of nulls. */
type FoundRow = HoldRow | { readonly id: null };

function toHold(row: HoldRow): MessageInitShape<typeof HoldSchema> {
  return {
    id: row.id,
    tenantId: row.tenantId,
    subject: toSubject(row),
    reason: row.reason,
    placeTime: toTimestamp(row.placedAt),
    placerId: row.placedBy,
    releaseTime: toTimestamp(row.releasedAt),
    releaserId: row.releasedBy ?? 0n,
  };
}

function toSubject(row: HoldRow): NonNullable<MessageInitShape<typeof HoldSchema>['subject']> {
  if (row.channelId !== null) return { case: 'channelId', value: row.channelId };
  if (row.userId !== null) return { case: 'userId', value: row.userId };
  return { case: 'entity', value: { type: row.entityType ?? '', id: row.entityId ?? 0n } };
}

function columns(sql: Sql) {
  return sql`
    h.id, h.tenant_id, h.channel_id, h.user_id, h.entity_type, h.entity_id, h.reason, h.placed_at, h.placed_by,
    h.released_at, h.released_by
  `;
}

function placeHold(
  sql: Sql,
  { tenantId, subject, reason }: MessageShape<typeof PlaceHoldRequestSchema>,
  actorId: bigint,
): PendingQuery<FoundRow[]> {
  const channelId = subject.case === 'channelId' ? subject.value : null;
  const userId = subject.case === 'userId' ? subject.value : null;
  const entity = subject.case === 'entity' ? subject.value : undefined;
  return sql<FoundRow[]>`
    select ${columns(sql)}
    from place_hold(
      ${tenantId}, ${channelId}, ${userId}, ${entity?.type ?? null}, ${entity?.id ?? null}, ${reason}, ${actorId}
    ) as h
  `;
}

function releaseHold(sql: Sql, tenantId: bigint, holdId: bigint, actorId: bigint): PendingQuery<FoundRow[]> {
  return sql<FoundRow[]>`
    select ${columns(sql)}
    from release_hold(${tenantId}, ${holdId}, ${actorId}) as h
  `;
}

function listHolds(
  sql: Sql,
  tenantId: bigint,
  withReleased: boolean,
  before: bigint,
  limit: number,
): PendingQuery<HoldRow[]> {
  return sql<HoldRow[]>`
    select ${columns(sql)}
    from list_holds(${tenantId}, ${withReleased}, ${before}, ${limit}) as h
  `;
}
