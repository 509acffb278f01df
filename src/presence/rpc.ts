import { PresenceStatus } from '#gen/serp/discuss/v1/presence_pb.ts';
import type { PresenceService } from '#gen/serp/discuss/v1/presence_service_pb.ts';
import { toMs, toTimestamp } from '../db/time.ts';
import type { Deps } from '../deps.ts';
import type { Call, Handlers } from '../rpc/call.ts';
import { requireTenant } from '../rpc/caller.ts';
import { errors } from '../rpc/errors.ts';
import { fromPageToken, pageSizeOf, toPageToken } from '../rpc/page-token.ts';
import { findPresence, OTHER_KIND } from './find.ts';
import type { Presence } from './presence.ts';
import { chooseStatus, findTypist, listMemberIds, type TypistRow } from './sql.ts';
import { toStatus, toStatusName } from './state.ts';
import type { Typing } from './typing.ts';
import { toUserPresence, toUserStatus } from './view.ts';

// Members that a page of ListOnline looks at.
const LOOKED_AT = 2_000;

export type PresenceDeps = Deps & { readonly presence: Presence; readonly typing: Typing };

export function presenceRoutes(deps: PresenceDeps): Handlers<typeof PresenceService> {
  const { config, db, presence, typing } = deps;
  return {
    async heartbeat({ device, status }, call) {
      const session = { device: device?.id ?? '', kind: device?.kind || OTHER_KIND, id: '' };
      const seen = await presence.beat(call.caller, session, toStatusName(status) ?? 'ONLINE');
      if (seen === 'unknown') return { status: PresenceStatus.UNKNOWN };
      const end = BigInt(deps.now() + config.presence.deviceTtlMs);
      const lasts = status !== PresenceStatus.OFFLINE;
      return { status: toStatus(seen.status), ...(lasts ? { expireTime: toTimestamp(end) } : {}) };
    },

    async setStatus(request, call) {
      const { tenantId, userId } = call.caller;
      const status = toStatusName(request.status) ?? 'ONLINE';
      const expiresAt = toMs(request.expireTime) ?? null;
      const [row] = await db.run(call, (sql) =>
        chooseStatus(sql, tenantId, userId, status, request.text, expiresAt),
      );
      if (row === undefined) throw new Error('the status chosen was not returned');
      const text = row.statusText === '' ? undefined : row;
      const seen = await presence.choose(call.caller, row);
      return { presence: toUserPresence(userId, seen, text, toUserStatus(row)) };
    },

    async getPresence({ userIds }, call) {
      requireTenant(call.caller);
      return { users: await findPresence(deps, call, userIds) };
    },

    async listOnline(request, call) {
      const { tenantId } = call.caller;
      const after = fromPageToken(request.pageToken, 1)?.[0] ?? 0n;
      const [found] = await db.run(call, (sql) => listMemberIds(sql, request.channelId, after, LOOKED_AT));
      if (found?.userIds == null) throw errors.channelNotFound();
      const members = found.userIds;
      const online = await presence.filterOnline(tenantId, members);
      if (online === undefined) return { unknown: true };
      const size = pageSizeOf(request);
      const there = members.filter((userId) => online.has(userId));
      const page = there.slice(0, size);
      const last =
        there.length > size ? page.at(-1) : members.length === LOOKED_AT ? members.at(-1) : undefined;
      const users = page.length === 0 ? [] : await findPresence(deps, call, page);
      return {
        users: users.filter(({ status }) => status !== PresenceStatus.OFFLINE),
        nextPageToken: last === undefined ? '' : toPageToken([last]),
      };
    },

    async startTyping({ channelId }, call) {
      const row = await requireTypist(deps, call, channelId);
      if (row.memberStatus === 'MUTED') throw errors.memberMuted();
      if (row.isArchived) throw errors.channelArchived();
      if (row.memberCount > config.typing.maxMembers) return {};
      const until = await typing.start(channelId, call.caller.userId);
      return until === undefined ? {} : { expireTime: toTimestamp(BigInt(until)) };
    },

    async stopTyping({ channelId }, call) {
      const row = await requireTypist(deps, call, channelId);
      if (row.memberCount <= config.typing.maxMembers) await typing.stop(channelId, call.caller.userId);
      return {};
    },

    async getOnlineStats(_request, call) {
      requireTenant(call.caller);
      const count = await presence.count(call.caller.tenantId);
      return count === undefined ? {} : { onlineUserCount: count };
    },
  };
}

async function requireTypist({ db }: Deps, call: Call, channelId: bigint): Promise<TypistRow> {
  const { tenantId, userId } = call.caller;
  const [row] = await db.run(call, (sql) => findTypist(sql, tenantId, userId, channelId));
  if (row === undefined) throw errors.channelNotFound();
  return row;
}
