import { PresenceStatus } from '#gen/serp/discuss/v1/presence_pb.ts';
import type { PresenceService } from '#gen/serp/discuss/v1/presence_service_pb.ts';
import { toMs, toTimestamp } from '../db/time.ts';
import type { Deps } from '../deps.ts';
import type { Call, Handlers } from '../rpc/call.ts';
import { requireTenant } from '../rpc/caller.ts';
import { errors } from '../rpc/errors.ts';
import { fromPageToken, toPageToken } from '../rpc/page-token.ts';
import { findPresence, OTHER_KIND } from './find.ts';
import type { Presence } from './presence.ts';
import { findTypingMember, listMemberIds, type TypingMemberRow, upsertStatusOverride } from './sql.ts';
import { toStatus, toStatusName } from './state.ts';
import type { Typing } from './typing.ts';
import { toStatusOverride, toUserPresence } from './view.ts';

// Members among which a page of ListOnline searches.
const MEMBERS_PER_PAGE = 2_000;

export type PresenceDeps = Deps & { readonly presence: Presence; readonly typing: Typing };

export function presenceRoutes(deps: PresenceDeps): Handlers<typeof PresenceService> {
  const { config, db, presence, typing } = deps;
  return {
    async heartbeat({ device, status }, call) {
      const session = { device: device?.id ?? '', kind: device?.kind || OTHER_KIND, id: '' };
      const view = await presence.heartbeat(call.caller, session, toStatusName(status) ?? 'ONLINE');
      if (view === 'unknown') return { status: PresenceStatus.UNKNOWN };
      const end = BigInt(deps.now() + config.presence.deviceTtlMs);
      const expires = status !== PresenceStatus.OFFLINE;
      return { status: toStatus(view.status), ...(expires ? { expireTime: toTimestamp(end) } : {}) };
    },

    async setStatus(request, call) {
      const { tenantId, userId } = call.caller;
      const status = toStatusName(request.status) ?? 'ONLINE';
      const expiresAt = toMs(request.expireTime) ?? null;
      const [row] = await db.run(call, (sql) =>
        upsertStatusOverride(sql, tenantId, userId, status, request.text, expiresAt),
      );
      if (row === undefined) throw new Error('the stored status override was not returned');
      const text = row.statusText === '' ? undefined : row;
      const view = await presence.setOverride(call.caller, row);
      return { presence: toUserPresence(userId, view, text, toStatusOverride(row)) };
    },

    async getPresence({ userIds }, call) {
      requireTenant(call.caller);
      return { users: await findPresence(deps, call, userIds) };
    },

    async listOnline(request, call) {
      const { tenantId } = call.caller;
      const after = fromPageToken(request.pageToken, 1)?.[0] ?? 0n;
      const [found] = await db.run(call, (sql) =>
        listMemberIds(sql, request.channelId, after, MEMBERS_PER_PAGE),
      );
      if (found?.userIds == null) throw errors.channelNotFound();
      const members = found.userIds;
      const online = await presence.filterOnline(tenantId, members);
      if (online === undefined) return { unknown: true };
      const size = request.pageSize;
      const onlineMembers = members.filter((userId) => online.has(userId));
      const page = onlineMembers.slice(0, size);
      const last =
        onlineMembers.length > size
          ? page.at(-1)
          : members.length === MEMBERS_PER_PAGE
            ? members.at(-1)
            : undefined;
      const users = page.length === 0 ? [] : await findPresence(deps, call, page);
      return {
        users: users.filter(({ status }) => status !== PresenceStatus.OFFLINE),
        nextPageToken: last === undefined ? '' : toPageToken([last]),
      };
    },

    async startTyping({ channelId }, call) {
      const row = await requireMember(deps, call, channelId);
      if (row.isRestricted) throw errors.memberMuted();
      if (row.isArchived) throw errors.channelArchived();
      if (row.memberCount > config.typing.maxMembers) return {};
      const expiry = await typing.start(call.caller, channelId);
      return expiry === undefined ? {} : { expireTime: toTimestamp(BigInt(expiry)) };
    },

    async stopTyping({ channelId }, call) {
      const row = await requireMember(deps, call, channelId);
      if (row.memberCount <= config.typing.maxMembers) await typing.stop(call.caller, channelId);
      return {};
    },

    async getOnlineStats(_request, call) {
      requireTenant(call.caller);
      const count = await presence.count(call.caller.tenantId);
      return count === undefined ? {} : { onlineUserCount: count };
    },
  };
}

async function requireMember({ db }: Deps, call: Call, channelId: bigint): Promise<TypingMemberRow> {
  const { tenantId, userId } = call.caller;
  const [row] = await db.run(call, (sql) => findTypingMember(sql, tenantId, userId, channelId));
  if (row === undefined) throw errors.channelNotFound();
  return row;
}
