import type { Chat } from '../chat.ts';
import type { Message } from '../defaults.ts';
import { listOf } from '../format.ts';
import { t } from '../i18n.ts';

/** A sentence about a change of the channel; the server's English one for kinds that this page does not know. */
export function noticeOf(chat: Chat, { notice, content }: Message): string {
  const actor = notice?.actorId ? chat.nameOf(notice.actorId) : t('service');
  const users = listOf((notice?.userIds ?? []).map((userId) => chat.nameOf(userId)));
  switch (notice?.kind) {
    case 'SYSTEM_NOTICE_KIND_MEMBER_JOINED':
      return t('joined', { actor });
    case 'SYSTEM_NOTICE_KIND_MEMBERS_ADDED':
      return t('added', { actor, users });
    case 'SYSTEM_NOTICE_KIND_MEMBER_LEFT':
      return t('left', { actor });
    case 'SYSTEM_NOTICE_KIND_CHANNEL_RENAMED':
      return t('renamed', { actor, name: notice.name ?? '' });
    default:
      return content;
  }
}
