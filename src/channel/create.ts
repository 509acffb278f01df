import type { MessageShape } from '@bufbuild/protobuf';
import type { CreateChannelRequestSchema } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { SystemNoticeKind } from '#gen/serp/discuss/v1/message_pb.ts';
import { recordAdditions } from '../activity/sql.ts';
import type { Config } from '../config.ts';
import { toMetadataJson } from '../db/metadata.ts';
import { hashRequest } from '../db/request-hash.ts';
import type { Sql } from '../db/types.ts';
import type { Deps } from '../deps.ts';
import type { Lookup } from '../directory/directory.ts';
import { appendEvent } from '../event/log/sql.ts';
import type { LoggedEvent } from '../event/log/wire.ts';
import { insertMembers, type Role } from '../membership/sql.ts';
import { toMembersJoined } from '../membership/view.ts';
import { postNotices } from '../notice/sql.ts';
import type { Caller } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';
import { rejectOverfull, requireVisible } from './access.ts';
import {
  type AccessRow,
  claimRequestId,
  findChannel,
  findClaim,
  findDirectChannel,
  insertChannel,
  type NewChannel,
  nextChannelId,
} from './sql.ts';
import { toChannelChanged } from './view.ts';

type GroupRequest = MessageShape<typeof CreateChannelRequestSchema>;

/** A channel that a call created, found or added members to. `events` is empty when nothing changed. */
export type ChannelResult = {
  readonly channel: AccessRow;
  readonly created: boolean;
  readonly events: readonly LoggedEvent[];
  /** Activities of the added users, for `signalActivities`. */
  readonly activities?: string | null | undefined;
};

/** What the functions of one transaction share. */
export type TransactionParts = { readonly sql: Sql; readonly caller: Caller; readonly config: Config };

/** What encrypts a channel. */
type Encryption = Deps['encryption'];

/** The same, of a transaction that adds members. `users` must have all of them. */
export type AddParts = TransactionParts & { readonly users: Lookup };

/** The same, of a transaction that may create a channel. */
export type CreateParts = AddParts & { readonly encryption: Encryption };

type MembersToAdd = { readonly userIds: readonly bigint[]; readonly role: Role };

/** Creates a group, or returns the group that an earlier call with the same request id created. */
export async function createGroup(parts: CreateParts, request: GroupRequest): Promise<ChannelResult> {
  const { sql, caller } = parts;
  const { tenantId, userId } = caller;
  const metadata = toMetadataJson('metadata', request.metadata);
  const hash = hashRequest(request);
  const [claimed] = await claimRequestId(sql, tenantId, userId, request.requestId, hash);
  if (claimed === undefined) return findEarlierGroup(parts, request.requestId, hash);
  await insertChannel(sql, tenantId, {
    id: claimed.id,
    type: 'GROUP',
    createdBy: userId,
    name: request.name,
    description: request.description,
    entityType: null,
    entityId: null,
    isPrivate: request.private,
    metadata,
  });
  if (request.encrypted) await parts.encryption.enable(sql, tenantId, claimed.id);
  const others = request.memberUserIds.filter((id) => id !== userId);
  return addMembers(parts, claimed.id, true, [
    { userIds: [userId], role: 'OWNER' },
    { userIds: others, role: 'MEMBER' },
  ]);
}

async function findEarlierGroup(
  { sql, caller }: TransactionParts,
  requestId: string,
  hash: Buffer,
): Promise<ChannelResult> {
  const { tenantId, userId } = caller;
  const [claim] = await findClaim(sql, tenantId, userId, requestId);
  if (claim === undefined) throw errors.conflict();
  if (claim.method !== 'CreateChannel' || !claim.payloadHash.equals(hash)) throw errors.requestIdReused();
  const [row] = await findChannel(sql, tenantId, userId, claim.channelId);
  return { channel: requireVisible(caller, row), created: false, events: [] };
}

/** Creates the direct channel of the caller and another user, or returns the one of a concurrent call. */
export async function createDirect(
  parts: CreateParts,
  otherId: bigint,
  encrypted: boolean,
): Promise<ChannelResult> {
  const { sql, caller } = parts;
  const { tenantId, userId } = caller;
  const id = await insertIfAbsent(sql, tenantId, {
    type: 'DIRECT',
    createdBy: userId,
    name: '',
    description: null,
    entityType: null,
    entityId: otherId,
    isPrivate: true,
    metadata: null,
  });
  if (id !== undefined) {
    if (encrypted) await parts.encryption.enable(sql, tenantId, id);
    return addMembers(parts, id, true, [
      { userIds: [userId], role: 'MEMBER' },
      { userIds: otherId === userId ? [] : [otherId], role: 'MEMBER' },
    ]);
  }
  const [channel] = await findDirectChannel(sql, tenantId, userId, otherId);
  if (channel === undefined) throw errors.conflict();
  return { channel, created: false, events: [] };
}

/** Inserts a channel that must be unique, and returns its id. Returns undefined when it exists. */
export async function insertIfAbsent(
  sql: Sql,
  tenantId: bigint,
  channel: Omit<NewChannel, 'id'>,
): Promise<bigint | undefined> {
  const [next] = await nextChannelId(sql);
  if (next === undefined) return undefined;
  const inserted = await insertChannel(sql, tenantId, { ...channel, id: next.id });
  return inserted.count === 1 ? next.id : undefined;
}

/**
 * Adds members to a channel that is new or locked. The creation of a channel and its first members get no notice: its
 * first event names the creator.
 */
export async function addMembers(
  parts: AddParts,
  channelId: bigint,
  created: boolean,
  groups: readonly MembersToAdd[],
): Promise<ChannelResult> {
  const { sql, caller, config, users } = parts;
  const { tenantId, userId } = caller;
  const [joined, [channel]] = await Promise.all([
    // In this order: row-level security lets the owner, once inserted, add the others.
    Promise.all(
      groups
        .filter(({ userIds }) => userIds.length > 0)
        .map(({ userIds, role }) => insertMembers(sql, tenantId, channelId, [...new Set(userIds)], role)),
    ),
    findChannel(sql, tenantId, userId, channelId),
  ]);
  if (channel === undefined) throw errors.channelNotFound();
  const members = joined.flat();
  if (members.length > 0) rejectOverfull(config, channel.memberCount);
  // MEMBERS_JOINED, which follows, counts the members.
  const empty = toChannelChanged({ ...channel, memberCount: 0 }, userId, true);
  const memberIds = members.map((member) => member.userId);
  users.require(memberIds);
  const [recorded, ...logged] = await Promise.all([
    memberIds.length > 0 ? recordAdditions(sql, channelId, memberIds, caller.name) : [],
    created ? appendEvent(sql, channelId, 'CHANNEL_CHANGED', userId, empty) : [],
    members.length > 0
      ? appendEvent(sql, channelId, 'MEMBERS_JOINED', userId, toMembersJoined(channelId, userId, members))
      : [],
    ...(created || members.length === 0
      ? []
      : postNotices(parts, channelId, { kind: SystemNoticeKind.MEMBERS_ADDED, userIds: memberIds })),
  ]);
  return { channel, created, events: logged.flat(), activities: recorded[0]?.activities };
}
