import type { Storage } from '../attachment/storage.ts';
import type { Database } from '../db/database.ts';
import type { Sql } from '../db/types.ts';
import { appendEvent } from '../event/log/sql.ts';
import type { LoggedEvent } from '../event/log/wire.ts';
import type { Relay } from '../event/relay.ts';
import type { MessageCache } from '../message/cache.ts';
import { removeMessage, toTombstone } from '../message/delete.ts';
import { toMessageEdited } from '../message/edit.ts';
import type { MessageRow } from '../message/sql.ts';
import type { Presence } from '../presence/presence.ts';
import { errors } from '../rpc/errors.ts';
import { type ExportProgress, eraseExports } from './exports.ts';
import { redactNotice } from './redact.ts';
import {
  eraseActivities,
  eraseMessages,
  eraseTraces,
  eraseUserRows,
  listErasable,
  listMemberChannels,
  listMessages,
  lockForErasure,
  removeUnusedWords,
} from './sql.ts';
import { type Erasure, toScope } from './step.ts';

const LAST = 0x7fff_ffff_ffff_ffffn;
const CHANNELS = 1_000;
// A step locks the channel, so it changes few messages.
const LIMITS = { scan: 1_000, messages: 20 };
const ACTIVITIES = 5_000;

export type EraseParts = {
  readonly db: Database;
  readonly relay: Relay;
  readonly messageCache: MessageCache;
  readonly presence: Presence;
  readonly storage: Storage;
};

/** Where the next step begins. Ids are strings. */
type Progress = Partial<ExportProgress> & {
  /** All channels before it are done. */
  readonly channelId?: string;
  /** Messages of this channel from this id on are done. */
  readonly before?: string;
  /** All messages are done, and activities up to this id. */
  readonly activityId?: string;
  /** Words of erased messages that searches may still know. */
  readonly words?: readonly string[];
};

/** Erases a user in small steps. Returns whether everything is erased; false when it was closed before. */
export async function eraseUser(parts: EraseParts, erasure: Erasure): Promise<boolean> {
  const progress: Progress = JSON.parse(erasure.progress);
  const { activityId, exportKey, remove } = progress;
  await removeWords(parts, erasure, progress.words ?? []);
  if (exportKey === undefined) {
    if (activityId === undefined && !(await eraseAllMessages(parts, erasure, progress))) return false;
    if (!(await eraseAllActivities(parts, erasure, BigInt(activityId ?? 0)))) return false;
    await eraseRest(parts, erasure);
  }
  // Last, because an export that is in progress can only contain messages as they are now.
  return eraseExports(parts, erasure, { exportKey: exportKey ?? '', ...(remove && { remove }) });
}

async function eraseAllMessages(
  parts: EraseParts,
  erasure: Erasure,
  { channelId = '1', before }: Progress,
): Promise<boolean> {
  const { tenantId, userId, isClosed } = erasure;
  let after = BigInt(channelId) - 1n;
  let first = before === undefined ? LAST : BigInt(before);
  for (;;) {
    const rows = await listMemberChannels(parts.db.log, tenantId, userId, after, CHANNELS);
    for (const row of rows) {
      // The place in a channel from which its members were removed does not concern the next one.
      const start = `${row.channelId}` === channelId ? first : LAST;
      if (!(await eraseChannel(parts, erasure, row.channelId, start))) return false;
      first = LAST;
      after = row.channelId;
    }
    if (isClosed()) return false;
    if (rows.length < CHANNELS) return true;
  }
}

/** Erases the user in a channel, newest messages first. */
async function eraseChannel(
  parts: EraseParts,
  erasure: Erasure,
  channelId: bigint,
  start: bigint,
): Promise<boolean> {
  for (let before = start; before > 0n; ) {
    if (erasure.isClosed()) return false;
    const [page] = await listErasable(parts.db.log, erasure, channelId, before, LIMITS);
    if (page === undefined) throw new Error('list_erasable_messages returned no row');
    const isEnd = page.nextBefore === 0n;
    const progress = isEnd
      ? { channelId: `${channelId + 1n}` }
      : { channelId: `${channelId}`, before: `${page.nextBefore}` };
    if (isEnd || page.ownIds.length + page.traceIds.length > 0)
      await eraseStep(parts, erasure, channelId, [...page.ownIds, ...page.traceIds], progress);
    before = page.nextBefore;
  }
  return true;
}

/** One transaction: deletes and erases messages of the user, and removes the traces of the user in others. */
async function eraseStep(
  parts: EraseParts,
  erasure: Erasure,
  channelId: bigint,
  ids: readonly bigint[],
  progress: Progress,
): Promise<void> {
  const { tenantId, userId } = erasure;
  const { events, words } = await parts.db.lockingTransaction(toScope(tenantId), channelId, async (sql) => {
    const [lock] = await lockForErasure(sql, channelId, userId);
    if (lock?.holdId != null) throw errors.legalHold(tenantId, lock.holdId);
    const rows = ids.length === 0 ? [] : await listMessages(sql, tenantId, channelId, ids);
    const own = rows.filter(({ senderId }) => senderId === userId);
    const isLogged = lock?.isDeleted === false;
    const logged: LoggedEvent[] = [];
    for (const row of rows) logged.push(...(await eraseMessage(sql, erasure, row, isLogged)));
    const [erased] = await eraseMessages(
      sql,
      channelId,
      userId,
      own.map(({ id }) => id),
    );
    const found: string[] = JSON.parse(erased?.words ?? '[]');
    const counts = {
      messages: own.length,
      changed: rows.length - own.length,
      channels: progress.before === undefined ? 1 : 0,
    };
    await erasure.advance(sql, JSON.stringify({ ...progress, words: found }), counts);
    return { events: logged, words: found };
  });
  parts.messageCache.forget(channelId, events[0]?.seq);
  parts.relay.publish(tenantId, events);
  await removeWords(parts, erasure, words);
}

/** In a deleted channel nothing is logged: its last event is its deletion. */
async function eraseMessage(
  sql: Sql,
  { tenantId, userId }: Erasure,
  row: MessageRow & { readonly now: bigint },
  isLogged: boolean,
): Promise<readonly LoggedEvent[]> {
  const { channelId, id } = row;
  if (row.senderId === userId) {
    if (row.isDeleted) return [];
    const deleted = await removeMessage(sql, 0n, toTombstone(row, row.now, 0n));
    return isLogged ? appendEvent(sql, channelId, 'MESSAGE_DELETED', 0n, deleted, id) : [];
  }
  await eraseTraces(sql, channelId, userId, id);
  if (row.notice !== null) await redactNotice(sql, tenantId, row);
  if (row.isDeleted || !isLogged) return [];
  const [changed] = await listMessages(sql, tenantId, channelId, [id]);
  if (changed === undefined) return [];
  return appendEvent(sql, channelId, 'MESSAGE_EDITED', 0n, toMessageEdited(changed, 0n), id);
}

async function removeWords(
  { db }: EraseParts,
  { tenantId }: Erasure,
  words: readonly string[],
): Promise<void> {
  if (words.length > 0) await removeUnusedWords(db.log, tenantId, words);
}

async function eraseAllActivities(parts: EraseParts, erasure: Erasure, start: bigint): Promise<boolean> {
  const { tenantId, userId } = erasure;
  for (let after = start, isEnd = false; !isEnd; ) {
    if (erasure.isClosed()) return false;
    after = await parts.db.transaction(toScope(tenantId), async (sql) => {
      const [page] = await eraseActivities(sql, tenantId, userId, after, ACTIVITIES);
      if (page === undefined) throw new Error('erase_activities returned no row');
      if (page.holdId !== null) throw errors.legalHold(tenantId, page.holdId);
      const activityId = page.nextAfter === 0n ? after : page.nextAfter;
      await erasure.advance(sql, JSON.stringify({ activityId: `${activityId}` }), {
        activities: page.erased,
      });
      return page.nextAfter;
    });
    isEnd = after === 0n;
  }
  return true;
}

async function eraseRest({ db, presence }: EraseParts, erasure: Erasure): Promise<void> {
  const { tenantId, userId } = erasure;
  const row = await db.transaction(toScope(tenantId), async (sql) => {
    const [rest] = await eraseUserRows(sql, tenantId, userId);
    await erasure.advance(sql, JSON.stringify({ activityId: `${LAST}` }), { uploads: rest?.uploads ?? 0 });
    return rest;
  });
  if (row !== undefined && row.status !== null) await presence.setOverride({ tenantId, userId }, row);
}
