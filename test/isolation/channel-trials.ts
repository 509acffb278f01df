import assert from 'node:assert/strict';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { Code, createClient, type Transport } from '@connectrpc/connect';
import type { Channel } from '#gen/serp/discuss/v1/channel_pb.ts';
import {
  type BatchGetChannelsRequestSchema,
  ChannelService,
} from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { Access } from '#gen/serp/discuss/v1/options_pb.ts';
import { rejects } from '../kit/rejects.ts';
import { ana, type Fixture, groupRequest, SECRET, service, type Victim } from './fixture.ts';
import { empty, ownData, rejected, type Trial } from './trial.ts';

const { method } = ChannelService;
const { USER, SERVICE, USER_OR_SERVICE } = Access;

export const channelTrials: readonly Trial[] = [
  ownData(method.createChannel, {
    access: USER,
    request: ({ requestId }) => groupRequest(requestId || crypto.randomUUID()),
    shows: showsChannel,
    // Request ids are unique per user only: the same one creates another group.
    outsider: ({ channel }, { fixture, as }) => {
      assertOwnChannel(channel, fixture);
      assert.equal(channel?.creatorId, as.userId);
    },
  }),
  ownData(method.getOrCreateDirectChannel, {
    access: USER,
    request: () => ({ userId: 2n }),
    victim: ({ direct }) => direct,
    shows: ({ channel, created }, { channelId }) => {
      assert.equal(channel?.id, channelId);
      assert.equal(created, false);
    },
    outsider: ({ channel }, { fixture }) => assertOwnChannel(channel, fixture),
  }),
  ownData(method.getOrCreateTopicChannel, {
    access: SERVICE,
    request: ({ entityId }) => ({ entity: { type: 'order', id: entityId || 1n }, name: 'của riêng tôi' }),
    by: service,
    victim: ({ topic }) => topic,
    shows: (response, victim) => {
      showsChannel(response, victim);
      assert.equal(response.created, false);
    },
    outsider: ({ channel }, { fixture }) => {
      assertOwnChannel(channel, fixture);
      assert.equal(channel?.name, 'của riêng tôi');
    },
  }),
  rejected(method.moveTopic, {
    access: SERVICE,
    request: ({ entityId }) => ({
      fromEntity: { type: 'order', id: entityId || 1n },
      toEntity: { type: 'task', id: entityId || 1n },
    }),
    by: service,
    victim: ({ newTopic }) => newTopic(),
    shows: (response, victim) => {
      showsChannel(response, victim);
      assert.equal(response.channel?.entity?.type, 'task');
    },
  }),
  rejected(method.getChannel, {
    access: USER_OR_SERVICE,
    request: ({ channelId }) => ({ channelId }),
    shows: showsChannel,
    publicGroup: 'visible',
  }),
  empty(method.batchGetChannels, {
    access: USER_OR_SERVICE,
    request: toRefs,
    victim: ({ topic }) => topic,
    shows: ({ entries, missing }, victim) => {
      for (const entry of entries) showsChannel(entry, victim);
      assert.deepEqual([entries.length, missing], [2, []]);
    },
    sameTenant: ({ entries }, { publicGroup }) =>
      assert.ok(entries.every(({ channel }) => channel?.id === publicGroup.channelId)),
    without: (response) => ({ ...response, missing: [] }),
  }),
  {
    method: method.listTenantChannels,
    kind: 'own data',
    access: SERVICE,
    tenantWide: false,
    invoke: ({ transport }) => createClient(ChannelService, transport).listTenantChannels({}),
    assertAllowed: async ({ app, group }) => {
      const ids = await listTenant(app.transport(service, 'grpc', 0));
      assert.ok(ids.includes(group.channelId));
    },
    assertOutsider: async ({ fixture, transport, as }) => {
      const response = listTenant(transport);
      // A service that acts for a user has the rights of the user.
      if (as.userId > 0n) {
        await rejects(response, Code.PermissionDenied, 'CALLER_NOT_ALLOWED');
        return;
      }
      const { group, direct, formerDirect, topic, publicGroup } = fixture;
      const victims = [group, direct, formerDirect, topic, publicGroup].map(({ channelId }) => channelId);
      assert.ok(!(await response).some((id) => victims.includes(id)));
    },
  },
  empty(method.listChannels, {
    access: USER,
    request: () => ({ pageSize: 100 }),
    shows: ({ entries }, victim) => {
      const entry = entries.find(({ channel }) => channel?.id === victim.channelId);
      showsChannel(entry ?? {}, victim);
      assert.equal(entry?.lastMessage?.content, SECRET);
    },
  }),
  empty(method.browseChannels, {
    access: USER,
    request: () => ({ query: 'tuyet' }),
    victim: ({ publicGroup }) => publicGroup,
    shows: ({ entries }, victim) =>
      showsChannel(entries.find(({ channel }) => channel?.id === victim.channelId) ?? {}, victim),
    sameTenant: ({ entries }, fixture) => assertOnlyPublic(entries, fixture),
  }),
  empty(method.listTrendingChannels, {
    access: USER,
    request: () => ({ pageSize: 50 }),
    shows: ({ entries }, victim) =>
      showsChannel(entries.find(({ channel }) => channel?.id === victim.channelId) ?? {}, victim),
    sameTenant: ({ entries }, fixture) => assertOnlyPublic(entries, fixture),
  }),
  rejected(method.updateChannel, {
    access: USER_OR_SERVICE,
    request: ({ channelId }) => ({ channelId, name: 'tên mới', updateMask: { paths: ['name'] } }),
    shows: ({ channel }) => assert.equal(channel?.name, 'tên mới'),
    publicGroup: 'ROLE_TOO_LOW',
  }),
  rejected(method.archiveChannel, {
    access: USER_OR_SERVICE,
    request: ({ channelId }) => ({ channelId }),
    shows: ({ channel }) => assert.equal(channel?.archived, true),
    publicGroup: 'ROLE_TOO_LOW',
  }),
  rejected(method.unarchiveChannel, {
    access: USER_OR_SERVICE,
    request: ({ channelId }) => ({ channelId }),
    prepare: ({ channelId }, { app }) => app.client(ChannelService, ana).archiveChannel({ channelId }),
    shows: ({ channel }) => assert.equal(channel?.archived, false),
    publicGroup: 'ROLE_TOO_LOW',
  }),
  rejected(method.enableEncryption, {
    access: USER_OR_SERVICE,
    request: ({ channelId }) => ({ channelId }),
    shows: ({ channel }) => assert.ok(channel?.encryptionTime !== undefined),
    publicGroup: 'ROLE_TOO_LOW',
  }),
  rejected(method.deleteChannel, {
    access: USER_OR_SERVICE,
    request: ({ channelId }) => ({ channelId }),
    shows: async (_, { channelId }, { app }) => {
      const { entries } = await app.client(ChannelService, ana).listChannels({ pageSize: 100 });
      assert.ok(!entries.some(({ channel }) => channel?.id === channelId));
    },
    publicGroup: 'ROLE_TOO_LOW',
  }),
];

function showsChannel({ channel }: { channel?: Channel | undefined }, { channelId }: Victim): void {
  assert.equal(channel?.id, channelId);
  assert.equal(channel?.name, SECRET);
}

function toRefs({ channelId, entityId }: Victim): MessageInitShape<typeof BatchGetChannelsRequestSchema> {
  return {
    refs: [
      { ref: { case: 'channelId', value: channelId } },
      { ref: { case: 'entity', value: { type: 'order', id: entityId || 1n } } },
    ],
  };
}

async function listTenant(transport: Transport): Promise<bigint[]> {
  const client = createClient(ChannelService, transport);
  const ids: bigint[] = [];
  for (let pageToken = ''; ; ) {
    const page = await client.listTenantChannels({ pageToken, pageSize: 100 });
    ids.push(...page.entries.map(({ channel }) => channel?.id ?? 0n));
    if (page.nextPageToken === '') return ids;
    pageToken = page.nextPageToken;
  }
}

/** Asserts that a channel is none of the victims'. */
function assertOwnChannel(channel: Channel | undefined, fixture: Fixture): void {
  const { group, direct, formerDirect, topic, publicGroup } = fixture;
  const victims = [group, direct, formerDirect, topic, publicGroup].map(({ channelId }) => channelId);
  assert.ok(channel !== undefined && !victims.includes(channel.id), `${channel?.id}`);
}

export function assertOnlyPublic(
  entries: readonly { readonly channel?: Channel | undefined }[],
  { publicGroup }: Fixture,
): void {
  assert.deepEqual(
    entries.map(({ channel }) => channel?.id),
    [publicGroup.channelId],
  );
}
