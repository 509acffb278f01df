import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MemberRole } from '#gen/serp/discuss/v1/member_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import type { App, As } from './app.ts';

const creator: As = { userId: 9n, tenantId: 1n };

/** A group of user 9 with the members 1 and 2 and the admin 3. */
export async function groupWithAdmin(the: App, isPrivate = true): Promise<bigint> {
  const { channel } = await the
    .client(ChannelService, creator)
    .createChannel({ name: 'Kho vận', memberUserIds: [1n, 2n], private: isPrivate });
  const id = channel?.id ?? 0n;
  await the
    .client(MemberService, creator)
    .addMembers({ channelId: id, userIds: [3n], role: MemberRole.ADMIN });
  return id;
}
