import { type CallOptions, createClient, type Transport } from '@connectrpc/connect';
import {
  ChannelService,
  type ListChannelsResponse_Entry,
} from '../gen/serp/discuss/v1/channel_service_pb.ts';
import { MemberService } from '../gen/serp/discuss/v1/member_service_pb.ts';
import { MessageService } from '../gen/serp/discuss/v1/message_service_pb.ts';
import type { Store } from './store.ts';

/** Reads all channels of the user. `onEntry` gets what else a list shows, such as the last message. */
export async function readChannels(
  transport: Transport,
  store: Store,
  { onEntry, ...options }: CallOptions & { onEntry?: (entry: ListChannelsResponse_Entry) => void } = {},
): Promise<void> {
  const client = createClient(ChannelService, transport);
  for (let pageToken = ''; ; ) {
    const { entries, nextPageToken } = await client.listChannels({ pageToken }, options);
    for (const entry of entries) {
      const { channel, headSeq, membership } = entry;
      if (channel !== undefined) store.loadChannel(channel, headSeq, membership);
      onEntry?.(entry);
    }
    if (nextPageToken === '') return;
    pageToken = nextPageToken;
  }
}

/**
 * Reads members and the newest messages of a channel, and the channel itself last. Events that arrive in the meantime are
 * applied to what has been read.
 */
export async function readChannel(
  transport: Transport,
  store: Store,
  channelId: bigint,
  options: CallOptions = {},
): Promise<void> {
  const before = store.channel(channelId).seq ?? 0n;
  const members = createClient(MemberService, transport);
  for (let pageToken = ''; ; ) {
    const page = await members.listMembers({ channelId, pageToken }, options);
    store.loadMembers(channelId, page.members, before);
    if (page.nextPageToken === '') break;
    pageToken = page.nextPageToken;
  }
  const page = await createClient(MessageService, transport).listMessages({ channelId }, options);
  store.loadMessages(channelId, page.messages, page.headSeq);
  const channels = createClient(ChannelService, transport);
  const { channel, membership, headSeq } = await channels.getChannel({ channelId }, options);
  if (channel !== undefined) store.loadChannel(channel, headSeq, membership);
}
