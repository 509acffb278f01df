import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type FoundMessage, SearchService } from '#gen/serp/discuss/v1/search_service_pb.ts';
import type { App, As } from './app.ts';
import { indexed } from './indexed.ts';

const ana: As = { userId: 1n, tenantId: 1n };

/** Private groups, their messages and searches for them, in an app that may be opened later. */
export function searchFixture(the: () => App) {
  const group = async (name: string, as: As, memberUserIds: bigint[] = []) => {
    const { channel } = await the()
      .client(ChannelService, as)
      .createChannel({ name, memberUserIds, private: true });
    return channel?.id ?? 0n;
  };
  const send = async (channelId: bigint, content: string, as: As = ana, rest: object = {}) => {
    const { message } = await the()
      .client(MessageService, as)
      .sendMessage({ channelId, content, ...rest });
    return message?.id ?? 0n;
  };
  const search = async (query: string, rest: object = {}, as: As = ana) => {
    await indexed(the());
    return the()
      .client(SearchService, as)
      .searchMessages({ query, ...rest });
  };
  const texts = async (query: string, rest: object = {}, as: As = ana) =>
    (await search(query, rest, as)).messages.map(toText).sort();
  return { group, send, search, texts };
}

/** The snippet of a found message as text. */
export function toText(message: FoundMessage | undefined): string {
  return message?.snippet.map(({ text }) => text).join('') ?? '';
}

/** What is marked in the snippet of a found message. */
export function marked(message: FoundMessage | undefined): string[] {
  return message?.snippet.filter(({ match }) => match).map(({ text }) => text) ?? [];
}
