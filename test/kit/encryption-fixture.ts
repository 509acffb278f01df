import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app } from './app.ts';

/** The instances by their key: `OTHER` has the same as `WITH_KEY`, `WRONG_KEY` another one of the same name. */
export const [WITH_KEY, WITHOUT_KEY, WRONG_KEY, OTHER] = [0, 1, 2, 3];

const user = (userId: bigint): As => ({ userId, tenantId: 1n });
const [ana, binh] = [user(1n), user(2n)];
const newKey = (id: string) => `${id}=${randomBytes(32).toString('base64')}`;

export async function openEncryptedApp(): Promise<App> {
  const the = await app({ ENCRYPTION_KEYS: newKey('k1'), EVENT_REPLAY_EVENTS: '5' });
  await the.start({ ENCRYPTION_KEYS: '' });
  await the.start({ ENCRYPTION_KEYS: newKey('k1') });
  await the.start();
  return the;
}

/** Encrypted groups and their messages, in an app that may be opened later. */
export function encryptionFixture(the: () => App) {
  const channels = (as = ana, instance = WITH_KEY) => the().client(ChannelService, as, 'grpc', instance);
  const messages = (as = ana, instance = WITH_KEY) => the().client(MessageService, as, 'grpc', instance);
  const events = (as = binh, instance = WITH_KEY) => the().client(EventService, as, 'grpc', instance);
  const group = async (encrypted = true) => {
    const { channel } = await channels().createChannel({
      name: 'Kho',
      private: true,
      memberUserIds: [2n],
      encrypted,
    });
    return channel?.id ?? 0n;
  };
  const send = async (
    channelId: bigint,
    content: string,
    rest: object = {},
    as = ana,
    instance = WITH_KEY,
  ) => {
    const { message } = await messages(as, instance).sendMessage({ channelId, content, ...rest });
    assert.equal(message?.content, content);
    return message;
  };
  const contents = async (channelId: bigint) => {
    const { messages: page } = await messages(binh).listMessages({ channelId, pageSize: 100 });
    return page.filter(({ notice }) => notice === undefined).map(({ content }) => content);
  };
  return { channels, messages, events, group, send, contents };
}
