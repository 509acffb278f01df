import { create, fromJson, type MessageInitShape, toJson } from '@bufbuild/protobuf';
import type { EntityRef } from '#gen/serp/discuss/v1/channel_pb.ts';
import { MemberRoleSchema } from '#gen/serp/discuss/v1/member_pb.ts';
import {
  SystemNoticeKind as Kind,
  MessageType,
  type SystemNotice,
  SystemNoticeSchema,
} from '#gen/serp/discuss/v1/message_pb.ts';
import { type PatchableEvent, PLACEHOLDER_ID, placeholderTime, toPatchable } from '../event/log/wire.ts';
import type { Caller } from '../rpc/call.ts';

/** A notice without its actor. */
export type NoticeInit = Omit<
  MessageInitShape<typeof SystemNoticeSchema>,
  '$typeName' | 'actorId' | 'actorName' | 'userIds' | 'userCount'
> & { readonly kind: Kind; readonly userIds?: readonly bigint[] };

const NAMED_USERS = 100;

/** A notice with the caller as its actor. */
export function toNotice(caller: Caller, { userIds = [], ...notice }: NoticeInit): SystemNotice {
  return create(SystemNoticeSchema, {
    ...notice,
    actorId: caller.userId,
    actorName: caller.name,
    userIds: userIds.toSorted((a, b) => (a < b ? -1 : 1)).slice(0, NAMED_USERS),
    userCount: userIds.length,
  });
}

/** The event that posts a notice. */
export function toNoticePosted(channelId: bigint, notice: SystemNotice): PatchableEvent {
  const message = {
    id: PLACEHOLDER_ID,
    position: PLACEHOLDER_ID,
    createTime: placeholderTime,
    channelId,
    type: MessageType.SYSTEM,
    content: toSentence(notice),
    notice,
  };
  const change = { case: 'messageCreated', value: { message } } as const;
  return toPatchable({ channelId, actorId: notice.actorId, change });
}

/** A notice as stored in the column. */
export function toNoticeJson(notice: SystemNotice): string {
  return JSON.stringify(toJson(SystemNoticeSchema, notice));
}

/** Parses the column, which a newer version of the service may have written. */
export function fromNoticeJson(json: string): SystemNotice {
  return fromJson(SystemNoticeSchema, JSON.parse(json), { ignoreUnknownFields: true });
}

/** An English sentence for clients that do not localise the notice. */
export function toSentence(notice: SystemNotice): string {
  const { actorName: name, userCount, fromEntity: from, toEntity: to } = notice;
  const people = userCount === 1 ? '1 person' : `${userCount} people`;
  const sentence = (active: string, passive: string) => (name === '' ? passive : `${name} ${active}`);
  switch (notice.kind) {
    case Kind.MEMBER_JOINED:
      return sentence('joined', 'Somebody joined');
    case Kind.MEMBERS_ADDED:
      return sentence(`added ${people}`, `${people} joined`);
    case Kind.MEMBER_LEFT:
      return sentence('left', 'Somebody left');
    case Kind.MEMBER_REMOVED:
      return sentence(`removed ${people}`, `${people} left`);
    case Kind.ROLE_CHANGED: {
      const role = MemberRoleSchema.value[notice.role]?.localName;
      return sentence(`gave ${people} the role ${role}`, `${people} got the role ${role}`);
    }
    case Kind.OWNERSHIP_TRANSFERRED:
      return sentence('handed the channel over', 'The channel has another owner');
    case Kind.MEMBER_RESTRICTED:
      return sentence(`took the right to post from ${people}`, `${people} may no longer post`);
    case Kind.MEMBER_UNRESTRICTED:
      return sentence(`returned the right to post to ${people}`, `${people} may post again`);
    case Kind.CHANNEL_RENAMED:
      return sentence(`renamed the channel to ${notice.name}`, `The channel is called ${notice.name} now`);
    case Kind.DESCRIPTION_CHANGED:
      return sentence('changed the description', 'The description was changed');
    case Kind.MADE_PRIVATE:
      return sentence('made the channel private', 'The channel is private now');
    case Kind.MADE_PUBLIC:
      return sentence('made the channel public', 'The channel is public now');
    case Kind.CHANNEL_ARCHIVED:
      return sentence('archived the channel', 'The channel was archived');
    case Kind.CHANNEL_UNARCHIVED:
      return sentence('opened the channel again', 'The channel was opened again');
    case Kind.ENCRYPTION_ENABLED:
      return sentence(
        'enabled encryption: searches do not find later messages',
        'Later messages are encrypted: searches do not find them',
      );
    case Kind.TOPIC_MOVED:
      return `The discussion moved from ${nameOf(from)} to ${nameOf(to)}`;
    case Kind.TOPIC_MERGED_INTO:
      return `The discussion goes on in that of ${nameOf(to)}`;
    case Kind.TOPIC_MERGED:
      return `The discussion of ${nameOf(from)} goes on here`;
    default:
      return 'Something changed';
  }
}

function nameOf(entity: EntityRef | undefined): string {
  return entity === undefined ? 'another entity' : `${entity.type} ${entity.id}`;
}
