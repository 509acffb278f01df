import type { MessageInitShape } from '@bufbuild/protobuf';
import type { PendingQuery } from 'postgres';
import {
  type AdminService,
  AuditEventSchema,
  VerifyAuditLogResponse_Problem as Problem,
} from '#gen/serp/discuss/v1/admin_service_pb.ts';
import { fromMetadataJson } from '../db/metadata.ts';
import { toTimestamp } from '../db/time.ts';
import type { Sql } from '../db/types.ts';
import type { Deps } from '../deps.ts';
import type { Handlers } from '../rpc/call.ts';
import { fromPageToken, pageOfItems } from '../rpc/page-token.ts';

type AuditHandlers = Pick<Handlers<typeof AdminService>, 'listAuditEvents' | 'verifyAuditLog'>;

const LAST = 0x7fff_ffff_ffff_ffffn;
const VERIFIED_EVENTS = 10_000;

export function auditHandlers({ db }: Deps): AuditHandlers {
  return {
    async listAuditEvents({ tenantId, pageSize, pageToken }, call) {
      const before = fromPageToken(pageToken, 1)?.[0] ?? LAST;
      const rows = await db.run(call, (sql) => listAuditEvents(sql, tenantId, before, pageSize + 1));
      const { items, nextPageToken } = pageOfItems(rows, pageSize, AuditEventSchema, toAuditEvent, (last) => [
        last.seq,
      ]);
      return { events: items, nextPageToken };
    },

    async verifyAuditLog({ tenantId, afterSeq, maxEvents }, call) {
      const limit = maxEvents === 0 ? VERIFIED_EVENTS : maxEvents;
      const [row] = await db.run(call, (sql) => verifyAuditEvents(sql, tenantId, afterSeq, limit));
      return {
        checkedCount: row?.checked ?? 0,
        lastSeq: row?.lastSeq ?? 0n,
        lastHash: row?.lastHash ?? Buffer.alloc(0),
        end: row?.isEnd ?? false,
        problem: row?.problem == null ? Problem.UNSPECIFIED : Problem[row.problem],
        problemSeq: row?.problemSeq ?? 0n,
      };
    },
  };
}

function toAuditEvent(row: AuditRow): MessageInitShape<typeof AuditEventSchema> {
  const { seq, actorKind, actorId, action, hash } = row;
  const details = fromMetadataJson(row.details);
  return { seq, eventTime: toTimestamp(row.occurredAt), actorKind, actorId, action, details, hash };
}

type AuditRow = {
  readonly seq: bigint;
  readonly occurredAt: bigint;
  readonly actorKind: string;
  readonly actorId: bigint;
  readonly action: string;
  /** As text: the driver renames keys inside jsonb. */
  readonly details: string;
  readonly hash: Buffer;
};

function listAuditEvents(
  sql: Sql,
  tenantId: bigint,
  before: bigint,
  limit: number,
): PendingQuery<AuditRow[]> {
  return sql<AuditRow[]>`
    select seq, occurred_at, actor_kind, actor_id, action, details, hash
    from list_audit_events(${tenantId}, ${before}, ${limit})
  `;
}

type VerifiedRow = {
  readonly checked: number;
  readonly lastSeq: bigint;
  readonly lastHash: Buffer;
  readonly isEnd: boolean;
  readonly problem: 'CHANGED' | 'MISSING' | 'UNLINKED' | null;
  readonly problemSeq: bigint | null;
};

function verifyAuditEvents(
  sql: Sql,
  tenantId: bigint,
  after: bigint,
  limit: number,
): PendingQuery<VerifiedRow[]> {
  return sql<VerifiedRow[]>`
    select checked, last_seq, last_hash, is_end, problem, problem_seq
    from verify_audit_events(${tenantId}, ${after}, ${limit})
  `;
}
