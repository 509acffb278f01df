import assert from 'node:assert/strict';
import type { DescMethod } from '@bufbuild/protobuf';
import { type CallOptions, type Client, Code, createClient, type Transport } from '@connectrpc/connect';
import { AdminService } from '#gen/serp/discuss/v1/admin_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { Access } from '#gen/serp/discuss/v1/options_pb.ts';
import type { As } from '../kit/app.ts';
import { rejects } from '../kit/rejects.ts';
import { readUntil } from './event-trials.ts';
import { ana, type Fixture, operator, SECRET, TENANT, type Victim } from './fixture.ts';
import { operatorsOnly, type Trial } from './trial.ts';

const { method } = AdminService;
const exporter: As = { ...operator, roles: [...(operator.roles ?? []), 'discuss.export'] };
// Of no channel.
const ERASED = 999n;
const revoked: As = { userId: 9n, tenantId: TENANT };
const common = {
  access: Access.OPERATOR,
  by: operator,
  request: () => ({}),
  victim: ({ direct }: Fixture) => direct,
};

/** Of the events of the last day, see arrangeMaintenance. */
let droppedPartition = '';

export const adminTrials: readonly Trial[] = [
  operatorsOnly(method.reconcileCounters, {
    ...common,
    shows: ({ counters }) => {
      const counter = counters.find(({ name }) => name === 'channels.member_count');
      assert.equal(counter?.repairedCount, 1n);
    },
  }),
  operatorsOnly(method.getStats, {
    ...common,
    shows: ({ tenantCount }) => assert.ok(tenantCount >= 1n),
  }),
  operatorsOnly(method.reconcileAttachments, {
    ...common,
    shows: ({ checkedAttachmentCount, missingAttachmentIds, unknownKeys }) => {
      assert.ok(checkedAttachmentCount > 0);
      assert.deepEqual([missingAttachmentIds, unknownKeys], [[], []]);
    },
  }),
  operatorsOnly(method.ensurePartitions, {
    ...common,
    // After midnight, later ones are missing, too.
    shows: ({ createdPartitions }) =>
      assert.deepEqual(
        createdPartitions.filter((name) => name.startsWith('channel_events_') && name <= droppedPartition),
        [droppedPartition],
      ),
  }),
  operatorsOnly(method.runRetention, {
    ...common,
    shows: ({ prunedRequestIdCount, removedMessageCount }) => {
      assert.equal(prunedRequestIdCount, 1);
      assert.equal(removedMessageCount, 1);
    },
  }),
  operatorsOnly(method.listRetentionRuns, {
    ...common,
    // The one of the trial of RunRetention.
    shows: ({ runs }) =>
      assert.deepEqual(
        runs.map(({ removedMessageCount }) => removedMessageCount),
        [1n],
      ),
  }),
  operatorsOnly(method.setRetention, {
    ...common,
    request: () => ({ tenantId: TENANT, channelId: 1n, deletedDays: 5_000 }),
    shows: async (_, __, { app }) => {
      const { rules } = await app.client(AdminService, operator).listRetentionRules({ tenantId: TENANT });
      assert.equal(rules.length, 1);
    },
  }),
  operatorsOnly(method.listRetentionRules, {
    ...common,
    request: () => ({ tenantId: TENANT }),
    shows: ({ rules }) => assert.equal(rules.length, 1),
  }),
  operatorsOnly(method.startKeyRotation, {
    ...common,
    request: () => ({ tenantId: TENANT, channelId: 1n }),
    shows: ({ rotation }) => assert.equal(rotation?.keyId, 'k1'),
  }),
  operatorsOnly(method.listKeyRotations, {
    ...common,
    // The one of the trial before.
    shows: ({ rotations }) => assert.equal(rotations.length, 1),
  }),
  operatorsOnly(method.placeHold, {
    ...common,
    request: ({ channelId }) => ({
      tenantId: TENANT,
      subject: { case: 'channelId' as const, value: channelId },
      reason: 'Vụ 1',
    }),
    shows: ({ hold }, { channelId }) =>
      assert.deepEqual(hold?.subject, { case: 'channelId', value: channelId }),
  }),
  operatorsOnly(method.listHolds, {
    ...common,
    request: () => ({ tenantId: TENANT }),
    shows: ({ holds }) => assert.equal(holds.length, 1),
  }),
  operatorsOnly(method.releaseHold, {
    ...common,
    request: () => ({ tenantId: TENANT, holdId: 1n }),
    shows: ({ hold }) => assert.ok(hold?.releaseTime !== undefined),
  }),
  operatorsOnly(method.listAuditEvents, {
    ...common,
    request: () => ({ tenantId: TENANT }),
    // No outsider's call is among them.
    shows: ({ events }) =>
      assert.deepEqual(
        new Set(events.flatMap(({ actorKind, action }) => (actorKind === 'operator' ? [action] : []))),
        new Set(
          [
            'SetRetention',
            'ListRetentionRules',
            'StartKeyRotation',
            'PlaceHold',
            'ListHolds',
            'ReleaseHold',
            'ListAuditEvents',
          ].map((name) => `AdminService/${name}`),
        ),
      ),
  }),
  operatorsOnly(method.verifyAuditLog, {
    ...common,
    request: () => ({ tenantId: TENANT }),
    shows: ({ end, problemSeq }) => assert.deepEqual([end, problemSeq], [true, 0n]),
  }),
  operatorsOnly(method.eraseUser, {
    ...common,
    request: () => ({ tenantId: TENANT, userId: ERASED }),
    shows: ({ operation }) => assert.equal(operation?.id, 1n),
  }),
  operatorsOnly(method.waitOperation, {
    ...common,
    request: () => ({ tenantId: TENANT, operationId: 1n }),
    shows: ({ operation }) => assert.equal(operation?.result.case, 'success'),
  }),
  operatorsOnly(method.getOperation, {
    ...common,
    request: () => ({ tenantId: TENANT, operationId: 1n }),
    shows: ({ operation }) => assert.equal(operation?.done, true),
  }),
  operatorsOnly(method.cancelOperation, {
    ...common,
    request: () => ({ tenantId: TENANT, operationId: 1n }),
    // It was done before.
    shows: ({ operation }) => assert.equal(operation?.result.case, 'success'),
  }),
  operatorsOnly(method.listOperations, {
    ...common,
    request: () => ({ tenantId: TENANT }),
    // No outsider has started one.
    shows: ({ operations }) => assert.equal(operations.length, 1),
  }),
  exportTrial(method.exportChannel, (client, { channelId }, options) =>
    client.exportChannel({ tenantId: TENANT, channelId }, options),
  ),
  exportTrial(method.exportUser, (client, _, options) =>
    client.exportUser({ tenantId: TENANT, userId: ana.userId }, options),
  ),
  operatorsOnly(method.revokeAccess, {
    ...common,
    request: () => ({
      subject: { case: 'user' as const, value: { tenantId: TENANT, userId: revoked.userId } },
    }),
    // No outsider has revoked the access.
    prepare: (_, { app }) => app.client(ChannelService, revoked).listChannels({}),
    shows: async (_, __, { app }) => {
      const response = app.client(ChannelService, revoked).listChannels({});
      await rejects(response, Code.Unauthenticated, 'ACCESS_REVOKED');
    },
  }),
];

type Lines = { readonly lines: string };

/** A stream for operators with the role discuss.export: PERMISSION_DENIED for all others, also for other operators. */
function exportTrial(
  streaming: DescMethod,
  open: (client: Client<typeof AdminService>, victim: Victim, options: CallOptions) => AsyncIterable<Lines>,
): Trial {
  const read = async (transport: Transport, victim: Victim) => {
    const client = createClient(AdminService, transport);
    const responses = await readUntil(
      (options) => open(client, victim, options),
      () => false,
    );
    return responses.map(({ lines }) => lines).join('');
  };
  return {
    method: streaming,
    kind: 'operators only',
    access: Access.OPERATOR,
    tenantWide: false,
    invoke: ({ transport, victim }) => read(transport, victim),
    assertAllowed: async ({ app, group }) => {
      await rejects(
        read(app.transport(operator, 'grpc', 0), group),
        Code.PermissionDenied,
        'CALLER_NOT_ALLOWED',
      );
      assert.ok((await read(app.transport(exporter, 'grpc', 0), group)).includes(SECRET));
    },
    assertOutsider: async ({ transport, victim }) => {
      await rejects(read(transport, victim), Code.PermissionDenied, 'CALLER_NOT_ALLOWED');
    },
  };
}

/** Gives each RPC of AdminService something to change, so that a call by an outsider would show. */
export async function arrangeMaintenance({ app, direct }: Fixture): Promise<void> {
  const { owner } = app;
  const { channelId } = direct;
  const messages = app.client(MessageService, ana);
  const { message } = await messages.sendMessage({ channelId, content: 'xoá lâu' });
  const messageId = message?.id ?? 0n;
  await messages.deleteMessage({ channelId, messageId });
  await owner`
    update messages
    set deleted_at = now_ms() - 91 * 86400000::bigint
    where id = ${messageId}
  `;
  await owner`
    insert into idempotency_keys (tenant_id, user_id, request_id, method, payload_hash, created_at)
    values (1, 1, gen_random_uuid(), 'X', '\\x00', now_ms() - 100 * 3600000)
  `;
  await owner`
    update channels
    set member_count = 99
    where id = ${channelId}
  `;
  const [last] = await owner<{ name: string }[]>`
    select max(relname) as name
    from pg_class
    where relispartition and relname like 'channel\\_events\\_2%' and relkind = 'r'
  `;
  droppedPartition = last?.name ?? '';
  await owner`drop table ${owner(droppedPartition)}`;
}
