import type { MessageJson } from '@serp/discuss-client/gen/serp/discuss/v1/message_pb';

const DEFAULTS = {
  id: '0',
  position: '0',
  channelId: '0',
  senderId: '0',
  rootMessageId: '0',
  content: '',
  mentionUserIds: [],
  mentionScope: 'MENTION_SCOPE_UNSPECIFIED',
  alsoInChannel: false,
  replyCount: 0,
  reactions: [],
  attachments: [],
} satisfies MessageJson;

/** A message with the fields that its JSON leaves out because they have their default values. */
export type Message = MessageJson & Required<Pick<MessageJson, keyof typeof DEFAULTS>>;

export function withDefaults(message: MessageJson): Message {
  return { ...DEFAULTS, ...message };
}
