import type { ListChannelsResponse_EntryJson } from '../gen/serp/discuss/v1/channel_service_pb.d.ts';
import type { Store } from './store.ts';
import type { CallOptions, Transport } from './transport.ts';

/** Reads all channels of the user. `onEntry` gets what else a list shows, such as the last message. */
export async function readChannels(
  transport: Transport,
  store: Store,
  { onEntry, ...options }: CallOptions & { onEntry?: (entry: ListChannelsResponse_EntryJson) => void } = {},
): Promise<void> {
  for (let pageToken = ''; ; ) {
    const request = { pageToken };
    const page = await transport.unary('ChannelService/ListChannels', request, options);
    for (const entry of page.entries ?? []) {
      const { channel, headSeq, membership } = entry;
      if (channel !== undefined) store.loadChannel(channel, headSeq, membership);
      onEntry?.(entry);
    }
    if (page.nextPageToken === undefined) return;
    pageToken = page.nextPageToken;
  }
}

/**
 * Reads members and the newest messages of a channel, and the channel itself last. Events that arrive in the meantime are
 * applied to what has been read.
 */
export async function readChannel(
  transport: Transport,
  store: Store,
  channelId: string,
  options: CallOptions = {},
): Promise<void> {
  const before = store.channel(channelId).seq;
  for (let pageToken = ''; ; ) {
    const request = { channelId, pageToken };
    const page = await transport.unary('MemberService/ListMembers', request, options);
    store.loadMembers(channelId, page.members ?? [], before);
    if (page.nextPageToken === undefined) break;
    pageToken = page.nextPageToken;
  }
  const page = await transport.unary('MessageService/ListMessages', { channelId }, options);
  store.loadMessages(channelId, page.messages ?? [], page.headSeq);
  const request = { channelId };
  const { channel, membership, headSeq } = await transport.unary(
    'ChannelService/GetChannel',
    request,
    options,
  );
  if (channel !== undefined) store.loadChannel(channel, headSeq, membership);
}
