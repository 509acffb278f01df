import type { MessageShape } from '@bufbuild/protobuf';
import type { ListMessagesRequestSchema } from '#gen/serp/discuss/v1/message_service_pb.ts';
import type { Deps } from '../deps.ts';
import type { Call } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';
import { fromPageToken, pageSizeOf, toPageToken } from '../rpc/page-token.ts';
import type { MessageCache } from './cache.ts';
import { type HistoryRow, listHistory, listNewest } from './history-sql.ts';
import type { MessageRow } from './sql.ts';
import { toMessage } from './view.ts';

type ListRequest = MessageShape<typeof ListMessagesRequestSchema>;

const LAST_ID = 0x7fff_ffff_ffff_ffffn;

export type Page = {
  readonly pivot: bigint;
  readonly older: number;
  readonly newer: number;
  readonly towards: 'older' | 'newer' | 'both';
  readonly size: number;
  readonly withoutReplies: boolean;
};

// One row more than asked for in the direction of the page, and one in the other, tell whether there is more.
export function toPage(request: ListRequest): Page {
  const size = pageSizeOf(request);
  const { withoutReplies } = request;
  const towardsOlder = (pivot: bigint): Page => ({
    pivot,
    older: size + 1,
    newer: 1,
    towards: 'older',
    size,
    withoutReplies,
  });
  const towardsNewer = (pivot: bigint): Page => ({
    pivot,
    older: 1,
    newer: size + 1,
    towards: 'newer',
    size,
    withoutReplies,
  });
  const token = fromPageToken(request.pageToken, 2);
  if (token !== undefined) {
    const [newer, pivot] = token;
    return newer === 1n ? towardsNewer(pivot ?? 0n) : towardsOlder(pivot ?? LAST_ID);
  }
  switch (request.position.case) {
    case 'beforeMessageId':
      return towardsOlder(request.position.value);
    case 'afterMessageId':
      return towardsNewer(request.position.value + 1n);
    case 'aroundMessageId': {
      const older = Math.floor(size / 2);
      return {
        pivot: request.position.value,
        older: older + 1,
        newer: size - older + 1,
        towards: 'both',
        size,
        withoutReplies,
      };
    }
    default:
      return towardsOlder(LAST_ID);
  }
}

type HistoryDeps = Deps & { readonly messageCache: MessageCache };

/** A page of a channel, the newest one perhaps from the cache. */
export async function readHistory(deps: HistoryDeps, call: Call, channelId: bigint, page: Page) {
  if (page.pivot === LAST_ID && page.towards === 'older' && !page.withoutReplies)
    return readNewest(deps, call, channelId, page);
  const { tenantId, userId } = call.caller;
  const rows = await deps.db.run(call, (sql) => listHistory(sql, tenantId, userId, channelId, page));
  const [first] = rows;
  if (first === undefined) throw errors.channelNotFound();
  return toHistory(rows, page, first.headSeq);
}

async function readNewest(
  { db, messageCache, metrics }: HistoryDeps,
  call: Call,
  channelId: bigint,
  page: Page,
) {
  const { tenantId, userId } = call.caller;
  const kept = await messageCache.find(channelId, page.size);
  const rows = await db.run(call, (sql) => listNewest(sql, tenantId, userId, channelId, page.older, kept));
  const [first] = rows;
  if (first === undefined) throw errors.channelNotFound();
  if (kept?.version === first.version) {
    metrics.cacheReads.inc({ cache: 'messages', result: 'hit' });
    const hasOlder = kept.hasOlder || kept.messages.length > page.size;
    return toAnswer(page, kept.messages.slice(-page.size), hasOlder, false, first.headSeq);
  }
  metrics.cacheReads.inc({ cache: 'messages', result: 'miss' });
  // Or the next ones would fetch and parse it for nothing, too.
  if (kept !== undefined) messageCache.forget(channelId, first.headSeq);
  const found = rows.filter((row) => row.id !== null);
  const shown = found.slice(-page.size);
  const hasOlder = found.length > page.size;
  const { headSeq, version } = first;
  messageCache.offer(channelId, { headSeq, version, messages: shown, hasOlder });
  return toAnswer(page, shown, hasOlder, false, headSeq);
}

function toHistory(rows: readonly HistoryRow[], page: Page, headSeq: bigint) {
  const messages = rows.filter((row) => row.id !== null);
  const older = messages.filter((row) => !row.newer);
  const newer = messages.filter((row) => row.newer);
  const hasOlder = older.length >= page.older;
  const hasNewer = newer.length >= page.newer;
  const shownOlder = page.towards === 'newer' ? [] : older.slice(hasOlder ? 1 : 0);
  const shownNewer = page.towards === 'older' ? [] : newer.slice(0, page.newer - 1);
  return toAnswer(page, [...shownOlder, ...shownNewer], hasOlder, hasNewer, headSeq);
}

function toAnswer(
  page: Page,
  shown: readonly MessageRow[],
  hasOlder: boolean,
  hasNewer: boolean,
  headSeq: bigint,
) {
  return {
    messages: shown.map(toMessage),
    hasOlder,
    hasNewer,
    nextPageToken: toNextToken(page, shown, page.towards === 'newer' ? hasNewer : hasOlder),
    headSeq,
  };
}

function toNextToken(page: Page, shown: readonly { id: bigint }[], hasNext: boolean): string {
  const edge = page.towards === 'newer' ? shown.at(-1) : shown.at(0);
  if (!hasNext || edge === undefined) return '';
  return page.towards === 'newer' ? toPageToken([true, edge.id + 1n]) : toPageToken([false, edge.id]);
}
