import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import type { App, As, Edge } from './app.ts';
import { TenantStreamReader } from './tenant-stream-reader.ts';

export const service = (tenantId: number): As => ({
  userId: 0n,
  tenantId: BigInt(tenantId),
  roles: ['discuss.service'],
});
/** A service of all tenants. */
export const everywhere: As = { ...service(0), tenants: '*' };

/** Tenants, their messages and readers of their events, in an app that may be opened later. */
export function tenantStreamFixture(the: () => App) {
  /** To be disconnected after each test. */
  const open: TenantStreamReader[] = [];

  // A tenant for each test, read from its beginning: a reader that starts now may receive events committed just
  // before, while an older transaction of the server is open.
  let lastTenant = 0;
  const newTenant = () => {
    lastTenant += 1;
    return lastTenant;
  };
  const group = async (tenantId: number) => {
    const { channel } = await the()
      .client(ChannelService, { userId: 1n, tenantId: BigInt(tenantId) })
      .createChannel({ name: 'Kho', memberUserIds: [2n] });
    return channel?.id ?? 0n;
  };
  const send = async (tenantId: number, channelId: bigint, content: string, instance = 0) => {
    const as = { userId: 1n, tenantId: BigInt(tenantId) };
    const { message } = await the()
      .client(MessageService, as, 'grpc', instance)
      .sendMessage({ channelId, content });
    return message?.id ?? 0n;
  };
  const client = (as: As, edge: Edge = 'grpc', instance = 0) =>
    the().client(EventService, as, edge, instance);
  const read = (
    as: As,
    reader = new TenantStreamReader({ fromOldest: true }),
    edge: Edge = 'grpc',
    instance = 0,
  ) => {
    open.push(reader);
    return reader.connect(client(as, edge, instance));
  };
  return { open, newTenant, group, send, client, read };
}
