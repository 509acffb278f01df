import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import {
  AdminService,
  type AuditEvent,
  VerifyAuditLogResponse_Problem as Problem,
} from '#gen/serp/discuss/v1/admin_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MemberRole } from '#gen/serp/discuss/v1/member_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app, CONCURRENT } from '../../test/kit/app.ts';
import { rejects } from '../../test/kit/rejects.ts';

const operator: As = { userId: 7n, tenantId: 0n, roles: ['discuss.admin'] };
const DAY_MS = 86_400_000n;

describe('the audit log', () => {
  let the: App;
  let lastTenant = 100n;

  before(async () => {
    the = await app({ ...CONCURRENT, RETENTION_INTERVAL_MS: '0', MAINTENANCE_INTERVAL_MS: '0' });
    await the.start();
  });
  after(() => the.close());

  const admin = (edge: 'grpc' | 'web' = 'grpc', instance = 0) =>
    the.client(AdminService, operator, edge, instance);
  const tenant = () => {
    lastTenant += 1n;
    return lastTenant;
  };
  /** All events but those of reading the log, oldest first. */
  const list = async (tenantId: bigint, pageSize = 2) => {
    const found: AuditEvent[] = [];
    for (let pageToken = ''; ; ) {
      const page = await admin('web', 1).listAuditEvents({ tenantId, pageSize, pageToken });
      found.unshift(...page.events.toReversed());
      if (page.nextPageToken === '') break;
      pageToken = page.nextPageToken;
    }
    return found.filter(({ action }) => action !== 'AdminService/ListAuditEvents');
  };
  const append = (tenantId: bigint, count: number) => the.owner`
    select append_audit_event(${tenantId}, 'job', 0, 'TEST', jsonb_build_object('n', i)) from generate_series(1, ${count}) as i
  `;
  // By plain SQL, because each call of an operator appends an event.
  const verify = async (tenantId: bigint, afterSeq = 0, limit = 1_000) => {
    const [row] = await the.owner<{ problem: string | null; seq: string | null; checked: number }[]>`
      select problem, problem_seq::text as seq, checked from verify_audit_events(${tenantId}, ${afterSeq}, ${limit})
    `;
    return row?.problem === null ? row.checked : `${row?.problem} ${row?.seq}`;
  };
  /** A program with the rights of the owner that avoids the trigger. */
  const tamper = (statement: string) =>
    the.owner.begin(async (sql) => {
      await sql`set local session_replication_role = replica`;
      await sql.unsafe(statement);
    });

  it('has the calls of operators, with their requests, also of calls that fail', async () => {
    const tenantId = tenant();
    const subject = { case: 'channelId', value: 5n } as const;
    const { hold } = await admin().placeHold({ tenantId, subject, reason: 'Vụ 1' });
    await admin('web').releaseHold({ tenantId, holdId: hold?.id ?? 0n });
    const missing = admin().releaseHold({ tenantId, holdId: 999_999n });
    await rejects(missing, Code.InvalidArgument, 'FIELD_INVALID');
    await admin('grpc', 1).getStats({ tenantId });
    const found = await list(tenantId);
    assert.deepEqual(
      found.map(({ action, actorKind, actorId, details }) => [action, actorKind, actorId, details]),
      [
        [
          'AdminService/PlaceHold',
          'operator',
          7n,
          { tenantId: `${tenantId}`, channelId: '5', reason: 'Vụ 1' },
        ],
        ['AdminService/ReleaseHold', 'operator', 7n, { tenantId: `${tenantId}`, holdId: `${hold?.id}` }],
        ['AdminService/ReleaseHold', 'operator', 7n, { tenantId: `${tenantId}`, holdId: '999999' }],
        ['AdminService/GetStats', 'operator', 7n, { tenantId: `${tenantId}` }],
      ],
    );
    assert.deepEqual(
      found.map(({ seq }) => seq),
      [1n, 2n, 3n, 4n],
    );
    assert.ok((await list(0n, 100)).every(({ action }) => action.startsWith('AdminService/')));
  });

  it('has changes of roles and of the right to post, with their transaction', async () => {
    const tenantId = tenant();
    const ana: As = { userId: 1n, tenantId };
    const { channel } = await the
      .client(ChannelService, ana)
      .createChannel({ name: 'x', memberUserIds: [2n, 3n] });
    const channelId = channel?.id ?? 0n;
    const members = the.client(MemberService, ana);
    const role = MemberRole.ADMIN;
    await members.updateMemberRole({ channelId, userId: 2n, role });
    await members.updateMemberRole({ channelId, userId: 2n, role });
    await members.restrictMember({ channelId, userId: 3n });
    await members.unrestrictMember({ channelId, userId: 3n });
    await members.transferOwnership({ channelId, userId: 2n });
    await rejects(
      members.transferOwnership({ channelId, userId: 3n }),
      Code.PermissionDenied,
      'ROLE_TOO_LOW',
    );
    const about = (userId: number) => ({ channel_id: `${channelId}`, user_id: `${userId}` });
    assert.deepEqual(
      (await list(tenantId)).map(({ action, actorKind, actorId, details }) => [
        action,
        `${actorKind} ${actorId}`,
        details,
      ]),
      [
        ['ROLE_CHANGED', 'user 1', { ...about(2), from: 'MEMBER', to: 'ADMIN' }],
        ['MEMBER_RESTRICTED', 'user 1', about(3)],
        ['MEMBER_UNRESTRICTED', 'user 1', about(3)],
        ['OWNERSHIP_TRANSFERRED', 'user 1', about(2)],
      ],
    );
  });

  it('has a certificate of each purge, with its range, number and rule', async () => {
    const tenantId = tenant();
    const ana: As = { userId: 1n, tenantId };
    const { channel } = await the.client(ChannelService, ana).createChannel({ name: 'x' });
    const channelId = channel?.id ?? 0n;
    const messages = the.client(MessageService, ana);
    const ids: bigint[] = [];
    for (let count = 0; count < 3; count += 1) {
      const { message } = await messages.sendMessage({ channelId, content: 'bí mật' });
      ids.push(message?.id ?? 0n);
      await messages.deleteMessage({ channelId, messageId: message?.id ?? 0n });
    }
    await the.owner`update messages set deleted_at = 1 where channel_id = ${channelId}`;
    await admin().runRetention({});
    const [event] = await list(tenantId);
    assert.deepEqual([event?.action, event?.actorKind], ['DELETED_MESSAGES_PURGED', 'job']);
    const { time_ms: timeMs, ...details } = event?.details ?? {};
    assert.ok(typeof timeMs === 'number' && Math.abs(timeMs - Date.now()) < 60_000);
    assert.deepEqual(details, {
      count: 3,
      first_id: `${ids[0]}`,
      last_id: `${ids[2]}`,
      kind: 'deleted',
      default_age_ms: Number(90n * DAY_MS),
    });
  });

  it('is verified in parts, by the RPC as by SQL', async () => {
    const tenantId = tenant();
    await append(tenantId, 25);
    const checked: number[] = [];
    for (let afterSeq = 0n, end = false; !end; ) {
      const part = await admin().verifyAuditLog({ tenantId, afterSeq, maxEvents: 10 });
      assert.deepEqual([part.problem, part.problemSeq], [Problem.UNSPECIFIED, 0n]);
      checked.push(part.checkedCount);
      ({ lastSeq: afterSeq, end } = part);
      if (end) assert.equal(part.lastHash.length, 32);
    }
    // The second and third call verify those before them, too.
    assert.deepEqual(checked, [10, 10, 8]);
    assert.equal(await verify(tenantId), 28);
    await tamper(`update audit_events set actor_id = 8 where tenant_id = ${tenantId} and seq = 13`);
    const part = await admin('web').verifyAuditLog({ tenantId });
    assert.deepEqual([part.problem, part.problemSeq, part.checkedCount], [Problem.CHANGED, 13n, 12]);
  });

  it('reveals events that were changed, removed, reordered, replaced or cut off', async () => {
    const where = (tenantId: bigint, seq: number) => `where tenant_id = ${tenantId} and seq = ${seq}`;
    const cases: [statement: (tenantId: bigint) => string, problem: string][] = [
      [(id) => `update audit_events set details = '{"n": 99}' ${where(id, 5)}`, 'CHANGED 5'],
      [(id) => `update audit_events set occurred_at = occurred_at + 1 ${where(id, 1)}`, 'CHANGED 1'],
      [(id) => `update audit_events set action = 'X' ${where(id, 10)}`, 'CHANGED 10'],
      [(id) => `delete from audit_events ${where(id, 5)}`, 'MISSING 5'],
      [(id) => `delete from audit_events ${where(id, 1)}`, 'MISSING 1'],
      [(id) => `delete from audit_events ${where(id, 10)}`, 'MISSING 10'],
      [(id) => `delete from audit_events where tenant_id = ${id}`, 'MISSING 1'],
      [
        (id) => `delete from audit_events ${where(id, 5)};
          update audit_events set seq = seq - 1 where tenant_id = ${id} and seq > 5`,
        'CHANGED 5',
      ],
      [
        (id) => `update audit_events set seq = 100 ${where(id, 4)};
          update audit_events set seq = 4 ${where(id, 6)};
          update audit_events set seq = 6 where tenant_id = ${id} and seq = 100`,
        'CHANGED 4',
      ],
      [
        (id) => `update audit_events set details = '{"n": 99}', hash = audit_hash(
            previous_hash, tenant_id, seq, occurred_at, actor_kind, actor_id, action, '{"n": 99}'
          ) ${where(id, 5)}`,
        'UNLINKED 6',
      ],
      [
        (id) => `update audit_events set details = '{"n": 99}', hash = audit_hash(
            previous_hash, tenant_id, seq, occurred_at, actor_kind, actor_id, action, '{"n": 99}'
          ) ${where(id, 10)}`,
        'UNLINKED 11',
      ],
    ];
    for (const [statement, problem] of cases) {
      const tenantId = tenant();
      await append(tenantId, 10);
      assert.equal(await verify(tenantId), 10);
      await tamper(statement(tenantId));
      assert.equal(await verify(tenantId), problem, statement(tenantId));
    }
  });

  it('cannot be changed by the owner or the service, and has no gap after concurrent writes', async () => {
    const tenantId = tenant();
    await append(tenantId, 1);
    const changes = [
      'update audit_events set actor_id = 1',
      'delete from audit_events',
      'truncate audit_events',
      'delete from audit_events where false',
    ];
    for (const change of changes) await assert.rejects(the.owner.unsafe(change), { code: '42501' }, change);
    await Promise.all(Array.from({ length: 20 }, () => append(tenantId, 5)));
    assert.equal(await verify(tenantId), 101);
    const before = list(tenantId, 100);
    await Promise.all([before, append(tenantId, 50), verify(tenantId)]);
    assert.equal(typeof (await verify(tenantId)), 'number');
  });
});
