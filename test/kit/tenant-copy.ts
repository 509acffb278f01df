import { Code, ConnectError } from '@connectrpc/connect';
import type { Channel } from '#gen/serp/discuss/v1/channel_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import type { TenantEvent } from '#gen/serp/discuss/v1/event_service_pb.ts';
import type { Member } from '#gen/serp/discuss/v1/member_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import type { App, As, Edge } from './app.ts';
import { DecodedLog } from './decoded-log.ts';

const PAGE_SIZE = 3;

export type ChannelCopy = {
  /** Events up to it are included in what was read. */
  readonly headSeq: bigint;
  /** `seq` of the last event that was applied or read. */
  lastSeq: bigint;
  channel: Channel | undefined;
  readonly members: Map<bigint, Member>;
  readonly history: DecodedLog;
};

/**
 * A copy of all channels, members and messages of one tenant, as a service keeps it: from the events of
 * StreamTenantEvents, and after a reset from reads, as the comment of TenantStreamReset describes.
 */
export class TenantCopy {
  readonly channels = new Map<bigint, ChannelCopy>();

  apply({ event }: TenantEvent): void {
    if (event === undefined) return;
    const { channelId, seq, change } = event;
    const copy = this.channels.get(channelId) ?? createCopy(0n);
    if (seq <= copy.headSeq) return;
    this.channels.set(channelId, copy);
    copy.lastSeq = seq;
    switch (change.case) {
      case 'channelDeleted':
        this.channels.delete(channelId);
        break;
      case 'channelChanged':
        copy.channel = change.value.channel;
        break;
      case 'membersJoined':
      case 'membersChanged':
        for (const member of change.value.members) copy.members.set(member.userId, member);
        break;
      case 'memberLeft':
        copy.members.delete(change.value.userId);
        break;
      default:
        copy.history.apply(event);
    }
  }

  /** Replaces the copy by what the service reads. */
  async read(app: App, as: As, edge: Edge = 'grpc'): Promise<void> {
    const client = app.client(ChannelService, as, edge);
    const pages = pagesOf((pageToken) => client.listTenantChannels({ pageToken, pageSize: PAGE_SIZE }));
    this.channels.clear();
    for await (const { entries } of pages)
      for (const { channel, headSeq } of entries)
        this.channels.set(channel?.id ?? 0n, { ...createCopy(headSeq), channel });
    for (const [channelId, copy] of this.channels)
      await readChannel(app, as, edge, channelId, copy).catch((error) => {
        if (ConnectError.from(error).code !== Code.NotFound) throw error;
        this.channels.delete(channelId);
      });
  }
}

function createCopy(headSeq: bigint): ChannelCopy {
  return {
    headSeq,
    lastSeq: headSeq,
    channel: undefined,
    members: new Map(),
    history: new DecodedLog(),
  };
}

async function readChannel(
  app: App,
  as: As,
  edge: Edge,
  channelId: bigint,
  copy: ChannelCopy,
): Promise<void> {
  const [members, messages] = [app.client(MemberService, as, edge), app.client(MessageService, as, edge)];
  const request = { channelId, pageSize: PAGE_SIZE };
  for await (const page of pagesOf((pageToken) => members.listMembers({ ...request, pageToken })))
    for (const member of page.members) copy.members.set(member.userId, member);
  const position = { case: 'afterMessageId', value: 0n } as const;
  for await (const page of pagesOf((pageToken) => messages.listMessages({ ...request, position, pageToken })))
    copy.history.load(page.messages, page.headSeq);
}

async function* pagesOf<Page extends { readonly nextPageToken: string }>(
  read: (pageToken: string) => Promise<Page>,
): AsyncGenerator<Page> {
  for (let pageToken = ''; ; ) {
    const page = await read(pageToken);
    yield page;
    if (page.nextPageToken === '') return;
    pageToken = page.nextPageToken;
  }
}
