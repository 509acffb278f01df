import type { MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import {
  FoundChannelSchema,
  SearchMessagesRequest_Order as Order,
  SearchMatch,
  type SearchMessagesRequestSchema,
  type SearchMessagesResponseSchema,
  type SearchService,
} from '#gen/serp/discuss/v1/search_service_pb.ts';
import { toTypeColumns as toChannelTypeColumns } from '../channel/view.ts';
import { toMs } from '../db/time.ts';
import { wordsOf } from '../db/words.ts';
import type { Deps } from '../deps.ts';
import { toTypeColumn } from '../message/view.ts';
import type { Call, Handlers } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';
import { fromPageToken, pageOfItems, toPageToken } from '../rpc/page-token.ts';
import { parseQuery, type Term, toParts } from './query.ts';
import {
  type FoundMessageRow,
  type MessageFilter,
  type MessagePlace,
  searchChannels,
  searchMessages,
} from './sql.ts';
import { toFoundChannel, toFoundMessage } from './view.ts';

type MessagesRequest = MessageShape<typeof SearchMessagesRequestSchema>;

const RANKED = 500;
const HIGHEST = 0x7fff_ffff_ffff_ffffn;

export function searchRoutes(deps: Deps): Handlers<typeof SearchService> {
  return {
    async searchMessages(request, call) {
      const terms = parseQuery(request.query);
      const token = fromPageToken(request.pageToken, 6);
      const size = request.pageSize;
      const modes = modesOf(terms);
      const place = token === undefined ? firstPlace(request, deps.now) : toPlace(token);
      const tried = token === undefined ? modes : modes.filter(({ match }) => BigInt(match) === token[0]);
      for (const mode of tried) {
        const found = await findPage(deps, call, request, mode, place, size);
        if (found !== undefined) return { ...found, matched: mode.match };
      }
      return {};
    },

    async searchChannels(request, call) {
      const { tenantId, userId } = call.caller;
      const words = wordsOf(request.query);
      if (words.length === 0) throw errors.fieldInvalid('query', 'contains no letter or digit');
      const size = request.pageSize;
      const token = fromPageToken(request.pageToken, 3);
      const place = token && ([token[0] ?? 0n, token[1] ?? -1n, token[2] ?? 0n] as const);
      const search = { ...request, words, types: toChannelTypeColumns(request.types) };
      const rows = await deps.db.read(call, (sql) =>
        searchChannels(sql, tenantId, userId, search, place, size + 1),
      );
      const { items, nextPageToken } = pageOfItems(rows, size, FoundChannelSchema, toFoundChannel, (last) => [
        BigInt(last.score),
        last.lastMessageAt,
        last.id,
      ]);
      return { channels: items, nextPageToken };
    },
  };
}

/** An interpretation of the query. The next one is tried when the previous one found nothing. */
type SearchMode = { readonly match: SearchMatch; readonly terms: readonly Term[] };

function modesOf(terms: readonly Term[]): SearchMode[] {
  const parts = toParts(terms);
  return [
    { match: SearchMatch.WORDS, terms },
    { match: SearchMatch.WITHOUT_STOP_WORDS, terms },
    ...(parts === undefined ? [] : [{ match: SearchMatch.PARTS, terms: parts }]),
  ];
}

async function findPage(
  deps: Deps,
  call: Call,
  request: MessagesRequest,
  mode: SearchMode,
  place: MessagePlace,
  size: number,
): Promise<MessageInitShape<typeof SearchMessagesResponseSchema> | undefined> {
  const { tenantId, userId } = call.caller;
  const search = {
    terms: mode.terms,
    withoutStopWords: mode.match === SearchMatch.WITHOUT_STOP_WORDS,
    filter: toFilter(request),
    ranked: place.now === null ? size + 1 : RANKED,
  };
  const rows = await deps.db.read(call, (sql) =>
    searchMessages(sql, tenantId, userId, search, place, size + 1),
  );
  const shown = rows.slice(0, size);
  const last = shown.at(-1);
  if (last === undefined) {
    // The rest of the window was deleted; there may be older matches.
    const next = place.from > 0n ? windowBefore(place.from, place.now) : undefined;
    return next && findPage(deps, call, request, mode, next, size);
  }
  const next = nextPlace(place, last, rows.length > size);
  return {
    messages: shown.map((row) => toFoundMessage(row, mode.terms)),
    nextPageToken: next === undefined ? '' : toToken(mode, next),
  };
}

// The newest matches are ranked as one window. Its bounds are in the token, so that new and deleted messages do not
// shift the next page.
function firstPlace(request: MessagesRequest, now: () => number): MessagePlace {
  const isRanked = request.order !== Order.NEWEST;
  return windowBefore(HIGHEST, isRanked ? BigInt(now()) : null);
}

function windowBefore(before: bigint, now: bigint | null): MessagePlace {
  return { before, from: 0n, now, score: HIGHEST, id: HIGHEST };
}

function toPlace(token: readonly (bigint | null)[]): MessagePlace {
  const [, now = null, before, from, score, id] = token;
  return { before: before ?? HIGHEST, from: from ?? 0n, now, score: score ?? HIGHEST, id: id ?? HIGHEST };
}

function toToken({ match }: SearchMode, { now, before, from, score, id }: MessagePlace): string {
  return toPageToken([BigInt(match), now, before, from, score, id]);
}

function nextPlace(place: MessagePlace, last: FoundMessageRow, hasMore: boolean): MessagePlace | undefined {
  if (place.now === null) return hasMore ? windowBefore(last.id, null) : undefined;
  const from = place.from > 0n || last.matches < RANKED ? place.from : last.windowStart;
  if (hasMore) return { ...place, before: last.windowEnd, from, score: last.score, id: last.id };
  return from > 0n ? windowBefore(from, place.now) : undefined;
}

function toFilter(request: MessagesRequest): MessageFilter {
  return {
    channelIds: request.channelIds,
    senderIds: request.senderIds,
    types: request.types.map(toTypeColumn),
    afterMs: toMs(request.afterTime),
    beforeMs: toMs(request.beforeTime),
    hasAttachment: request.hasAttachment,
    rootMessageId: request.rootMessageId,
  };
}
