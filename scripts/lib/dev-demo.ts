import { type Client, createClient, type Interceptor } from '@connectrpc/connect';
import { createGrpcTransport, Http2SessionManager } from '@connectrpc/connect-node';
import { ChannelType } from '#gen/serp/discuss/v1/channel_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MessageType } from '#gen/serp/discuss/v1/message_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import {
  type Author,
  DIRECT_LINES,
  ENGLISH_LINES,
  GROUP_LINES,
  type Line,
  ORDER_LINES,
} from './dev-demo-lines.ts';
import { DAVID, LAN, MINH, PAGE_USERS } from './dev-users.ts';

const GROUP_NAME = 'Triển khai ERP';
const ORDER = { type: 'order', id: 2024001n };
const MAX_PAGE_SIZE = 100;

interface Clients {
  readonly channels: Client<typeof ChannelService>;
  readonly messages: Client<typeof MessageService>;
}

export interface Demo {
  readonly directChannelId: bigint;
  readonly groupChannelId: bigint;
}

/** Creates the channels and messages of the demo tenant through the service, unless an earlier start did. */
export async function seedDemo(
  grpcAddress: string,
  tokenOf: (author: Author) => Promise<string>,
): Promise<Demo> {
  const baseUrl = `http://${grpcAddress}`;
  const sessionManager = new Http2SessionManager(baseUrl);
  const clients = new Map<bigint, Clients>();
  for (const author of [undefined, ...PAGE_USERS]) {
    const interceptors = [bearer(await tokenOf(author))];
    const transport = createGrpcTransport({ baseUrl, sessionManager, interceptors });
    clients.set(author?.userId ?? 0n, {
      channels: createClient(ChannelService, transport),
      messages: createClient(MessageService, transport),
    });
  }
  try {
    return await new Seed(clients).run();
  } finally {
    sessionManager.abort();
  }
}

class Seed {
  readonly #clients: ReadonlyMap<bigint, Clients>;

  constructor(clients: ReadonlyMap<bigint, Clients>) {
    this.#clients = clients;
  }

  async run(): Promise<Demo> {
    const directChannelId = await this.#direct(MINH.userId);
    const groupChannelId = (await this.#findGroup()) ?? (await this.#createGroup());
    await this.#sendMissing(directChannelId, DIRECT_LINES, 1);
    await this.#sendMissing(groupChannelId, GROUP_LINES, 2);
    await this.#sendMissing(await this.#topic(), ORDER_LINES, 3);
    await this.#sendMissing(await this.#direct(DAVID.userId), ENGLISH_LINES, 4);
    return { directChannelId, groupChannelId };
  }

  #of(author: Author): Clients {
    const clients = this.#clients.get(author?.userId ?? 0n);
    if (clients === undefined) throw new Error(`${author?.name} is not a user of the demo`);
    return clients;
  }

  async #direct(userId: bigint): Promise<bigint> {
    const { channel } = await this.#of(LAN).channels.getOrCreateDirectChannel({ userId });
    return channel?.id ?? 0n;
  }

  async #topic(): Promise<bigint> {
    const { channel } = await this.#of(undefined).channels.getOrCreateTopicChannel({
      entity: ORDER,
      name: 'Đơn hàng PO-2024-001',
      description: '48 máy in cho Công ty An Phát',
      memberUserIds: PAGE_USERS.map(({ userId }) => userId),
    });
    return channel?.id ?? 0n;
  }

  async #findGroup(): Promise<bigint | undefined> {
    for (let pageToken = ''; ; ) {
      const page = await this.#of(LAN).channels.listChannels({
        types: [ChannelType.GROUP],
        pageSize: MAX_PAGE_SIZE,
        pageToken,
      });
      const found = page.entries.find(({ channel }) => channel?.name === GROUP_NAME);
      if (found?.channel !== undefined) return found.channel.id;
      if (page.nextPageToken === '') return undefined;
      pageToken = page.nextPageToken;
    }
  }

  async #createGroup(): Promise<bigint> {
    const created = await this.#of(LAN).channels.createChannel({
      name: GROUP_NAME,
      description: 'Demo: rolling out the ERP',
      memberUserIds: PAGE_USERS.map(({ userId }) => userId),
      requestId: requestId(0, 0),
    });
    return created.channel?.id ?? 0n;
  }

  // Request ids are stored for some days only, so that channels with messages are left unchanged.
  async #sendMissing(channelId: bigint, lines: readonly Line[], number: number): Promise<void> {
    const { messages } = await this.#of(LAN).messages.listMessages({ channelId });
    if (messages.filter(({ notice }) => notice === undefined).length >= lines.length) return;
    for (const [index, line] of lines.entries()) {
      const root = await this.#send(channelId, line, requestId(number, index));
      for (const [reply, answer] of (line.replies ?? []).entries())
        await this.#send(channelId, answer, requestId(number, index, reply + 1), root);
    }
  }

  async #send(channelId: bigint, line: Line, id: string, replyToMessageId = 0n): Promise<bigint> {
    const { by, text, mentions = [], poll, reactions = [] } = line;
    const type =
      by === undefined ? MessageType.SYSTEM : poll === undefined ? MessageType.TEXT : MessageType.POLL;
    const { message } = await this.#of(by).messages.sendMessage({
      channelId,
      content: text,
      type,
      mentionUserIds: [...mentions],
      replyToMessageId,
      requestId: id,
      ...(poll !== undefined && { poll: { options: poll.map(([option]) => option) } }),
    });
    const target = { channelId, messageId: message?.id ?? 0n };
    for (const [emoji, ...users] of reactions)
      for (const user of users) await this.#of(user).messages.addReaction({ ...target, emoji });
    for (const [option, [, ...users]] of (poll ?? []).entries())
      for (const user of users)
        await this.#of(user).messages.votePoll({ ...target, optionIds: [option + 1] });
    return target.messageId;
  }
}

function requestId(channel: number, line: number, reply = 0): string {
  const end = [channel, line, reply].map((part) => `${part}`.padStart(4, '0')).join('');
  return `00000000-0000-4000-8000-${end}`;
}

function bearer(token: string): Interceptor {
  return (next) => (request) => {
    request.header.set('authorization', `Bearer ${token}`);
    return next(request);
  };
}
