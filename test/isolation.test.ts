import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { DescMethod, DescMethodStreaming, DescMethodUnary } from '@bufbuild/protobuf';
import { Code, ConnectError, type Transport } from '@connectrpc/connect';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { routes } from '../src/routes.ts';
import { type App, type As, app } from './kit/app.ts';

type Victim = { readonly channelId: bigint; readonly messageId: bigint };

/** How an RPC is tried by those who must not see anything. */
type Trial =
  /** Names a channel or message: must be answered NOT_FOUND. */
  | { readonly names: (victim: Victim) => Record<string, unknown> }
  /** Lists what the caller may see: the answer must not hold a thing of the victim's. */
  | { readonly lists: Record<string, unknown> }
  /** Names nothing that exists, and what it answers is the caller's own. */
  | { readonly makes: Record<string, unknown> };

// A new RPC is not in this table and fails the test until it is.
const trials: Readonly<Record<string, Trial>> = {
  'ChannelService/CreateChannel': { makes: { name: 'của riêng tôi' } },
  'ChannelService/GetOrCreateDirectChannel': { makes: { userId: 77n } },
  'ChannelService/GetOrCreateTopicChannel': {
    makes: { entityType: 'order', entityId: 4_711n, name: 'của riêng tôi' },
  },
  'ChannelService/MoveTopic': {
    makes: { fromEntityType: 'order', fromEntityId: 4_711n, toEntityType: 'order', toEntityId: 4_712n },
  },
  'ChannelService/GetChannel': { names: ({ channelId }) => ({ channelId }) },
  'ChannelService/ListChannels': { lists: {} },
  'ChannelService/BrowseChannels': { lists: {} },
  'ChannelService/ListTrendingChannels': { lists: {} },
  'ChannelService/ArchiveChannel': { names: ({ channelId }) => ({ channelId }) },
  'ChannelService/UnarchiveChannel': { names: ({ channelId }) => ({ channelId }) },
  'ChannelService/DeleteChannel': { names: ({ channelId }) => ({ channelId }) },
  'ChannelService/UpdateChannel': {
    names: ({ channelId }) => ({ channelId, name: 'chiếm', updateMask: { paths: ['name'] } }),
  },
  'MemberService/AddMembers': { names: ({ channelId }) => ({ channelId, userIds: [3n] }) },
  'MemberService/JoinChannel': { names: ({ channelId }) => ({ channelId }) },
  'MemberService/RemoveMember': { names: ({ channelId }) => ({ channelId, userId: 2n }) },
  'MemberService/LeaveChannel': { names: ({ channelId }) => ({ channelId }) },
  'MemberService/UpdateMemberRole': { names: ({ channelId }) => ({ channelId, userId: 2n, role: 3 }) },
  'MemberService/TransferOwnership': { names: ({ channelId }) => ({ channelId, userId: 2n }) },
  'MemberService/UpdateMembership': {
    names: ({ channelId }) => ({ channelId, pinned: true, updateMask: { paths: ['pinned'] } }),
  },
  'MemberService/ListMembers': { names: ({ channelId }) => ({ channelId }) },
  'MemberService/MarkRead': { names: ({ channelId, messageId }) => ({ channelId, messageId }) },
  'MemberService/MarkUnread': { names: (victim) => victim },
  'MemberService/ListReaders': { names: (victim) => victim },
  'MemberService/GetUnreadSummary': { lists: {} },
  'MessageService/SendMessage': { names: ({ channelId }) => ({ channelId, content: 'lén' }) },
  'MessageService/GetMessage': { names: ({ channelId, messageId }) => ({ channelId, messageId }) },
  'MessageService/ListMessages': { names: ({ channelId }) => ({ channelId }) },
  'MessageService/EditMessage': {
    names: (victim) => ({ ...victim, content: 'lén', updateMask: { paths: ['content'] } }),
  },
  'MessageService/ListEdits': { names: (victim) => victim },
  'MessageService/DeleteMessage': { names: (victim) => victim },
  'MessageService/ListThread': {
    names: ({ channelId, messageId }) => ({ channelId, rootMessageId: messageId }),
  },
  'MessageService/ListThreads': { lists: {} },
  'MessageService/FollowThread': {
    names: ({ channelId, messageId }) => ({ channelId, rootMessageId: messageId }),
  },
  'MessageService/UnfollowThread': {
    names: ({ channelId, messageId }) => ({ channelId, rootMessageId: messageId }),
  },
  'MessageService/MarkThreadRead': {
    names: ({ channelId, messageId }) => ({ channelId, rootMessageId: messageId }),
  },
  'MessageService/AddReaction': { names: (victim) => ({ ...victim, emoji: '👍' }) },
  'MessageService/RemoveReaction': { names: (victim) => ({ ...victim, emoji: '👍' }) },
  'MessageService/VotePoll': { names: (victim) => ({ ...victim, optionIds: [1] }) },
  'MessageService/ClosePoll': { names: (victim) => victim },
  'MessageService/GetPoll': { names: (victim) => victim },
  'MessageService/PinMessage': { names: (victim) => victim },
  'MessageService/UnpinMessage': { names: (victim) => victim },
  'MessageService/ListPins': { names: ({ channelId }) => ({ channelId }) },
  'SearchService/SearchMessages': { lists: { query: 'tuyet mat' } },
  'SearchService/SearchChannels': { lists: { query: 'tuyet' } },
  'ActivityService/ListActivities': { lists: {} },
  'ActivityService/GetActivityCounts': { lists: {} },
  // Ids count from 1: among these are the victims'.
  'ActivityService/MarkActivityRead': { makes: { activityIds: [1n, 2n, 3n, 4n, 5n, 6n] } },
  'ActivityService/MarkAllActivitiesRead': { makes: {} },
  'ActivityService/RecordActivities': {
    makes: { activities: [{ userIds: [1n], type: 'TASK_ASSIGNED', channelId: 1n, description: 'lén' }] },
  },
  'PresenceService/Heartbeat': { makes: { device: { id: 'x' } } },
  'PresenceService/SetStatus': { makes: { status: 5 } },
  'PresenceService/GetPresence': { lists: { userIds: [1n, 2n, 4n] } },
  'PresenceService/ListOnline': { names: ({ channelId }) => ({ channelId }) },
  'PresenceService/StartTyping': { names: ({ channelId }) => ({ channelId }) },
  'PresenceService/StopTyping': { names: ({ channelId }) => ({ channelId }) },
  'PresenceService/GetOnlineStats': { lists: {} },
  // For services that act for nobody: the outsiders, who act for users, are refused.
  'EventService/StreamTenantEvents': { lists: { fromOldest: true } },
  'AdminService/ReconcileCounters': { makes: {} },
  'AdminService/GetStats': { makes: {} },
  'AdminService/EnsurePartitions': { makes: {} },
  'AdminService/RunRetention': { makes: {} },
  'AdminService/RevokeAccess': { makes: { subject: { case: 'tenantId', value: 1n } } },
  'EventService/Subscribe': { names: ({ channelId }) => ({ channelIds: [channelId] }) },
};

const SECRET = 'tuyệt mật';

const outsiders: Readonly<Record<string, As>> = {
  'a stranger of the same tenant': { userId: 3n, tenantId: 1n },
  'a former member': { userId: 4n, tenantId: 1n },
  "a user of another tenant with a member's id": { userId: 1n, tenantId: 2n },
  'a service acting in another tenant': { userId: 1n, tenantId: 2n, roles: ['discuss.service'] },
};

describe('isolation', () => {
  let the: App;
  let victims: Victim[];
  let deleted: Victim;
  const bereft = { userId: 5n, tenantId: 1n };

  before(async () => {
    the = await app();
    const ana = { userId: 1n, tenantId: 1n };
    const service = { ...ana, roles: ['discuss.service'] };
    const channels = the.client(ChannelService, ana);
    const group = await channels.createChannel({ name: SECRET, private: true, memberUserIds: [2n, 4n] });
    const direct = await channels.getOrCreateDirectChannel({ userId: 4n });
    const topic = await the.client(ChannelService, service).getOrCreateTopicChannel({
      entityType: 'order',
      entityId: 4_711n,
      name: SECRET,
      memberUserIds: [2n, 4n],
    });
    victims = await Promise.all(
      [group, direct, topic].map(async ({ channel }) => {
        const channelId = channel?.id ?? 0n;
        const { message } = await the
          .client(MessageService, ana)
          .sendMessage({ channelId, content: SECRET, mentionUserIds: [3n, 4n] });
        // Mentioned in a reply, the later former member follows the thread.
        await the
          .client(MessageService, ana)
          .sendMessage({ channelId, content: SECRET, parentId: message?.id ?? 0n, mentionUserIds: [4n] });
        return { channelId, messageId: message?.id ?? 0n };
      }),
    );
    await the.owner`update channel_members set status = 'LEFT' where user_id = 4`;
    deleted = await deletedChannel(the, bereft);
  });
  after(() => the.close());

  it('has a trial for every RPC of every service', () => {
    const instance = the.instances[0];
    assert.ok(instance);
    const names = routes(instance.deps).flatMap(({ service }) => service.methods.map(nameOf));
    assert.deepEqual(names.sort(), Object.keys(trials).sort());
  });

  for (const [who, as] of Object.entries(outsiders)) {
    for (const [name, trial] of Object.entries(trials)) {
      it(`keeps ${name} from ${who}`, async () => {
        const method = findMethod(the, name);
        if ('names' in trial) {
          for (const victim of victims)
            await refused(the.transport(as, 'grpc', 0), method, trial.names(victim));
        } else {
          const answer = await call(
            the.transport(as, 'web', 0),
            method,
            'lists' in trial ? trial.lists : trial.makes,
          ).catch((error: unknown) => ConnectError.from(error).rawMessage);
          const text = JSON.stringify(answer, (_, value) => (typeof value === 'bigint' ? `${value}` : value));
          assert.ok(!text.includes(SECRET), text);
          for (const { channelId } of victims)
            assert.doesNotMatch(text, new RegExp(`"(channelId|id)":"${channelId}"`));
        }
      });
    }
  }

  for (const [name, trial] of Object.entries(trials)) {
    it(`keeps ${name} from an owner whose channel was deleted`, async () => {
      const method = findMethod(the, name);
      if ('names' in trial) return refused(the.transport(bereft, 'grpc', 0), method, trial.names(deleted));
      if (!('lists' in trial)) return;
      const answer = await call(the.transport(bereft, 'web', 0), method, trial.lists).catch(
        (error: unknown) => ConnectError.from(error).rawMessage,
      );
      const text = JSON.stringify(answer, (_, value) => (typeof value === 'bigint' ? `${value}` : value));
      assert.ok(!text.includes(SECRET), text);
    });
  }

  it('shows the same victims to a member', async () => {
    for (const victim of victims) {
      const answer = await the.client(MessageService, { userId: 1n, tenantId: 1n }).getMessage(victim);
      assert.equal(answer.message?.content, SECRET);
    }
  });
});

/** A public group that is no more, with a message of another member that mentions its owner. */
async function deletedChannel(the: App, owner: As): Promise<Victim> {
  const { channel } = await the
    .client(ChannelService, owner)
    .createChannel({ name: SECRET, memberUserIds: [2n] });
  const channelId = channel?.id ?? 0n;
  const binh = the.client(MessageService, { userId: 2n, tenantId: 1n });
  const { message } = await binh.sendMessage({ channelId, content: SECRET, mentionUserIds: [owner.userId] });
  const messageId = message?.id ?? 0n;
  await binh.sendMessage({ channelId, content: SECRET, parentId: messageId, mentionUserIds: [owner.userId] });
  await the.client(ChannelService, owner).deleteChannel({ channelId });
  return { channelId, messageId };
}

function nameOf(method: DescMethod): string {
  return `${method.parent.name}/${method.name}`;
}

function findMethod(the: App, name: string): DescMethod {
  const instance = the.instances[0];
  assert.ok(instance);
  const methods = routes(instance.deps).flatMap(({ service }) => service.methods);
  const method = methods.find((candidate) => nameOf(candidate) === name);
  assert.ok(method, `no method ${name}`);
  return method;
}

async function refused(
  transport: Transport,
  method: DescMethod,
  request: Record<string, unknown>,
): Promise<void> {
  const error = await call(transport, method, request).then(
    () => assert.fail('answered'),
    (thrown: unknown) => ConnectError.from(thrown),
  );
  assert.equal(Code[error.code], 'NotFound', error.rawMessage);
}

async function call(
  transport: Transport,
  method: DescMethod,
  request: Record<string, unknown>,
): Promise<unknown> {
  if (isUnary(method)) {
    const { message } = await transport.unary(method, undefined, 5_000, undefined, request);
    return message;
  }
  assert.ok(isStreaming(method));
  async function* requests() {
    yield request;
  }
  const { message } = await transport.stream(method, undefined, 2_000, undefined, requests());
  for await (const first of message) return first;
  return undefined;
}

function isUnary(method: DescMethod): method is DescMethodUnary {
  return method.methodKind === 'unary';
}

function isStreaming(method: DescMethod): method is DescMethodStreaming {
  return method.methodKind !== 'unary';
}
