import type { Logger } from 'pino';
import type { PendingQuery } from 'postgres';
import { recordActivities } from '../activity/sql.ts';
import { signalActivities } from '../activity/view.ts';
import { lockChannel } from '../channel/sql.ts';
import type { Config } from '../config.ts';
import type { Database } from '../db/database.ts';
import type { Pool, Sql } from '../db/types.ts';
import { appendEvent } from '../event/log/sql.ts';
import type { Relay } from '../event/relay.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { ScanInterrupted, ScannerUnavailable } from './clamd.ts';
import { examine, type Result } from './examine.ts';
import type { MediaProcess } from './media.ts';
import type { ScanProcess } from './scan.ts';
import { type AttachmentRow, attachmentColumns, touchMessage } from './sql.ts';
import type { Storage } from './storage.ts';
import { toAttachmentChanged } from './view.ts';

const LEASE_MARGIN_MS = 30_000;
const UNAVAILABLE_MS = 1_000n;
const MAX_DELAY_MS = 300_000;
// Another file, or a restart of clamd, interrupts a scan as well.
const MAX_INTERRUPTIONS = 10;
const INTERRUPTION_MS = 5_000n;
// The file ends clamd, or the instance.
const GIVEN_UP: Result = {
  status: 'FAILED',
  detail: 'earlier scans did not end',
  inlineSafe: false,
  thumbnail: undefined,
  durationMs: undefined,
};
const WRITE_MS = 10_000;

export type ScannerParts = {
  readonly db: Database;
  readonly relay: Relay;
  readonly storage: Storage;
  readonly scans: ScanProcess;
  readonly media: MediaProcess;
  readonly messageCache: { forget(channelId: bigint, seq: bigint | undefined): void };
  readonly config: Config;
  readonly metrics: Metrics;
  readonly log: Logger;
};

/**
 * Scans the files that are due, one after another. Instances, and several calls of one, may do so side by side. A claim ends
 * after a time, so that a file whose instance was killed is scanned by another one.
 */
export async function scanFiles(parts: ScannerParts, signal: AbortSignal): Promise<void> {
  const { config, db, storage } = parts;
  const { address, timeoutMs } = config.scan;
  if (address === undefined || storage.bucket === '') return;
  while (!signal.aborted) {
    const [claim] = await claimScans(db.log, 1, BigInt(timeoutMs + LEASE_MARGIN_MS));
    if (claim === undefined) return;
    await scanOne(parts, address, claim, signal);
  }
}

async function scanOne(
  parts: ScannerParts,
  address: string,
  claim: ClaimRow,
  signal: AbortSignal,
): Promise<void> {
  const { db, metrics, log, config } = parts;
  try {
    const isGivenUp = claim.interruptions >= MAX_INTERRUPTIONS || claim.attempts > config.scan.attempts;
    const result = isGivenUp ? GIVEN_UP : await examine(parts, address, claim, signal);
    if (result.status === 'FAILED' && claim.attempts < config.scan.attempts && !isGivenUp) {
      log.warn({ attachmentId: `${claim.id}`, detail: result.detail }, 'scan failed; retrying');
      return void (await postponeScan(db.log, claim.id, delayOf(claim.attempts), 'FILE'));
    }
    await finish(parts, claim, result);
    metrics.attachmentScans.inc({ result: result.status });
    metrics.scannerAvailable.set(1);
  } catch (error) {
    // Not a failure of the file: it is tried again until the scanner and the store are available.
    if (error instanceof ScannerUnavailable) metrics.scannerAvailable.set(0);
    if (!signal.aborted) log.warn({ err: error, attachmentId: `${claim.id}` }, 'scan not possible; retrying');
    const isInterrupted = error instanceof ScanInterrupted && !signal.aborted;
    const delay = isInterrupted ? INTERRUPTION_MS : signal.aborted ? 0n : UNAVAILABLE_MS;
    const cause = isInterrupted ? 'INTERRUPTION' : 'OTHER';
    await postponeScan(db.log, claim.id, delay, cause).catch(() => {});
  }
}

/** Stores the result, and tells the members if the file was sent. Infected files leave their place in the store. */
async function finish(parts: ScannerParts, claim: ClaimRow, result: Result): Promise<void> {
  const { db, storage, relay, messageCache, log } = parts;
  const { id, tenantId, channelId, s3Key } = claim;
  const infected = result.status === 'INFECTED';
  const key = infected ? `quarantine/${s3Key}` : s3Key;
  if (infected) {
    log.warn({ attachmentId: `${id}`, tenantId: `${tenantId}`, detail: result.detail }, 'malware found');
    await storage.copy(s3Key, key);
  }
  const thumbnailKey = result.thumbnail === undefined ? null : `thumbnails/${s3Key}.webp`;
  if (result.thumbnail !== undefined && thumbnailKey !== null)
    await storage.put(thumbnailKey, 'image/webp', Buffer.from(result.thumbnail.thumbnail));
  const caller = { kind: 'service', tenantId, userId: 0n, name: '', roles: new Set<string>() } as const;
  const scope = { caller, signal: AbortSignal.timeout(WRITE_MS), deadline: Date.now() + WRITE_MS };
  const { events, activities } = await db.transaction(scope, async (sql) => {
    const [channel] = await lockChannel(sql, tenantId, channelId);
    if (infected) await queueObjectDeletion(sql, id);
    const [row] = await endScan(sql, tenantId, id, {
      status: result.status === 'FAILED' ? 'ERROR' : result.status,
      key,
      location: `s3://${storage.bucket}/${key}`,
      inlineSafe: result.inlineSafe,
      thumbnailUrl: thumbnailKey === null ? null : `s3://${storage.bucket}/${thumbnailKey}`,
      width: result.thumbnail?.width ?? null,
      height: result.thumbnail?.height ?? null,
      preview: result.thumbnail === undefined ? null : Buffer.from(result.thumbnail.preview),
      durationMs: result.durationMs ?? null,
    });
    if (row?.messageId === null || row?.messageId === undefined || channel === undefined)
      return { events: [], activities: null };
    await touchMessage(sql, tenantId, row.messageId);
    const changed = toAttachmentChanged(row, 0n, false);
    return {
      events: await appendEvent(sql, channelId, 'ATTACHMENT_CHANGED', 0n, changed, row.messageId),
      activities: infected ? await warnAdmins(sql, tenantId, row) : null,
    };
  });
  messageCache.forget(channelId, events[0]?.seq);
  relay.publish(tenantId, events);
  signalActivities(relay, activities);
}

async function warnAdmins(sql: Sql, tenantId: bigint, row: AttachmentRow): Promise<string | null> {
  const admins = await listAdmins(sql, tenantId, row.channelId);
  if (admins.length === 0) return null;
  const item = {
    item: 0,
    userIds: admins.map(({ userId }) => `${userId}`),
    type: 'MALWARE_FOUND',
    actorId: '0',
    entityType: null,
    entityId: null,
    channelId: `${row.channelId}`,
    title: null,
    description: `Malware was found in the file ${row.fileName}`,
    metadata: JSON.stringify({ attachment_id: `${row.id}`, uploader_id: `${row.uploaderId}` }),
    collapseKey: null,
  };
  const [recorded] = await recordActivities(sql, [item], null, null);
  return recorded?.activities ?? null;
}

function delayOf(attempts: number): bigint {
  return BigInt(Math.min(MAX_DELAY_MS, 1_000 * 2 ** attempts));
}

type ClaimRow = {
  readonly id: bigint;
  readonly tenantId: bigint;
  readonly channelId: bigint;
  readonly s3Key: string;
  readonly fileType: string | null;
  readonly fileSize: bigint;
  readonly attempts: number;
  readonly interruptions: number;
};

/** Files to scan now. Another call returns them again after the lease, unless their scan has ended. */
function claimScans(sql: Pool, limit: number, leaseMs: bigint): PendingQuery<ClaimRow[]> {
  return sql<ClaimRow[]>`
    select id, tenant_id, channel_id, s3_key, file_type, file_size, attempts, interruptions
    from claim_scans(${limit}, ${leaseMs})
  `;
}

/** Ends a claim without a result. */
function postponeScan(
  sql: Pool,
  id: bigint,
  delayMs: bigint,
  cause: 'FILE' | 'INTERRUPTION' | 'OTHER',
): PendingQuery<object[]> {
  return sql`select postpone_scan(${id}, ${delayMs}, ${cause})`;
}

type ScanResult = {
  readonly status: 'CLEAN' | 'INFECTED' | 'ERROR';
  readonly key: string;
  readonly location: string;
  readonly inlineSafe: boolean;
  readonly thumbnailUrl: string | null;
  readonly width: number | null;
  readonly height: number | null;
  readonly preview: Buffer | null;
  readonly durationMs: number | null;
};

/** Stores the result of a scan; no row if the file was removed, or another scan has ended before. */
function endScan(
  sql: Sql,
  tenantId: bigint,
  attachmentId: bigint,
  result: ScanResult,
): PendingQuery<AttachmentRow[]> {
  return sql<AttachmentRow[]>`
    update attachments a
    set
      scan_status = ${result.status},
      scanned_at = now_ms(),
      s3_key = ${result.key},
      s3_url = ${result.location},
      inline_safe = ${result.inlineSafe},
      thumbnail_url = ${result.thumbnailUrl},
      width = ${result.width},
      height = ${result.height},
      preview = case when a.encrypted_name is null then ${result.preview}::bytea end,
      metadata = jsonb_strip_nulls(jsonb_build_object('duration_ms', ${result.durationMs}::bigint)),
      version = a.version + 1,
      updated_at = now_ms()
    where a.id = ${attachmentId}
      and a.tenant_id = ${tenantId}
      and a.scan_status = 'PENDING'
    returning ${attachmentColumns(sql)}
  `;
}

/** Queues the object of a file for deletion, before the file gets another object. */
function queueObjectDeletion(sql: Sql, attachmentId: bigint): PendingQuery<object[]> {
  return sql`select queue_object_deletion(${attachmentId})`;
}

/** The owners and admins of a channel. */
function listAdmins(sql: Sql, tenantId: bigint, channelId: bigint): PendingQuery<{ userId: bigint }[]> {
  return sql<{ userId: bigint }[]>`
    select m.user_id
    from channel_members m
    where m.channel_id = ${channelId}
      and m.tenant_id = ${tenantId}
      and m.role in ('ADMIN', 'OWNER')
      and is_member_status(m.status)
  `;
}
