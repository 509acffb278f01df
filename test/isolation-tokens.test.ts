import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { AdminService } from '#gen/serp/discuss/v1/admin_service_pb.ts';
import { AttachmentService } from '#gen/serp/discuss/v1/attachment_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { PresenceService } from '#gen/serp/discuss/v1/presence_service_pb.ts';
import { routes } from '../src/routes.ts';
import { recordForEntity } from './isolation/activity-trials.ts';
import {
  ana,
  binh,
  type Fixture,
  openFixture,
  operator,
  service,
  TENANT,
  type Victim,
} from './isolation/fixture.ts';
import { rejectsToken, type TokenTrial, tokenTrials } from './isolation/token-trials.ts';
import type { As } from './kit/app.ts';
import { rejects } from './kit/rejects.ts';
import { until } from './kit/until.ts';
import { PNG, upload } from './kit/uploads.ts';

const SERVICE = 'discuss.service';
const EDGES = ['grpc', 'web'] as const;

const others: Readonly<Record<string, As>> = {
  'another member': ana,
  'another user of the tenant': { userId: 3n, tenantId: TENANT },
  'a former member': { userId: 4n, tenantId: TENANT },
  'a user of another tenant with the same id': { ...binh, tenantId: 2n },
  'a service that acts for the user': { ...binh, roles: [SERVICE] },
  'a service of another tenant for a user with the same id': { ...binh, tenantId: 2n, roles: [SERVICE] },
};

// Flips one bit of the signature, one of the keys behind it, and cuts or extends the token.
const forgeries: readonly ((token: string) => string)[] = [
  (token) => flip(token, 0),
  (token) => flip(token, -1),
  (token) => token.slice(0, -1),
  (token) => token.slice(0, 10),
  (token) => `${token}AAAA`,
  (token) => Buffer.from(token, 'base64url').subarray(16).toString('base64url'),
];

describe('page tokens of other callers', () => {
  let fixture: Fixture;
  // The group, with a message that two members have read.
  let victim: Victim;

  const transport = (as: As, edge: (typeof EDGES)[number]) => fixture.app.transport(as, edge, 0);
  const firstToken = ({ by, firstToken: first }: TokenTrial) => first(transport(by, 'grpc'), victim);

  before(async () => {
    fixture = await openFixture();
    const { app, group, topic, newGroup } = fixture;
    await newGroup(false);
    for (const channelId of [0n, 1n])
      await app
        .client(AdminService, operator)
        .setRetention({ tenantId: TENANT, channelId, deletedDays: 5_000 });
    for (let runs = 0; runs < 2; runs += 1) await app.client(AdminService, operator).runRetention({});
    for (const userId of [998n, 999n])
      await app.client(AdminService, operator).eraseUser({ tenantId: TENANT, userId });
    await app.owner`
      insert into key_rotations (key_id, replaces_keys, started_at, finished_at)
      select 'k1', false, 1, 1 from generate_series(1, 2)
    `;
    for (const value of [1n, 2n])
      await app
        .client(AdminService, operator)
        .placeHold({ tenantId: TENANT, subject: { case: 'userId', value }, reason: 'Vụ 1' });
    await recordForEntity(fixture, topic.entityId, 2n);
    const { channelId, messageId, pollId } = group;
    const messages = app.client(MessageService, ana);
    await messages.sendMessage({ channelId, content: 'thêm', replyToMessageId: messageId });
    const edit = { channelId, messageId, content: 'sửa', updateMask: { paths: ['content'] } };
    await messages.editMessage(edit);
    const file = await upload(app.client(AttachmentService, ana), channelId, 'thêm.png', PNG);
    await messages.sendMessage({ channelId, attachmentIds: [file.id] });
    await messages.pinMessage({ channelId, messageId: pollId });
    await app.client(MessageService, binh).addReaction({ channelId, messageId, emoji: '🎉' });
    await app.client(MemberService, ana).addMembers({ channelId, userIds: [8n] });
    const { message } = await messages.sendMessage({ channelId, content: 'đã đọc' });
    victim = { ...group, pollId: message?.id ?? 0n, entityId: topic.entityId };
    for (const as of [binh, { userId: 8n, tenantId: TENANT }])
      await app.client(MemberService, as).markRead({ channelId, messageId: victim.pollId });
    const presence = app.client(PresenceService, binh);
    await presence.heartbeat({ device: { id: 'binh' } });
    await until(async () => (await presence.listOnline({ channelId })).users.length > 1, 'two users online');
  });
  after(() => fixture.close());

  it('have a trial for every method with a page token and for each of its arguments', () => {
    const instance = fixture.app.instances[0];
    assert.ok(instance);
    const paged = routes(instance.deps)
      .flatMap(({ service }) => service.methods)
      .filter(({ output }) => output.fields.some(({ name }) => name === 'next_page_token'));
    const names = (list: readonly { toString(): string }[]) => new Set(list.map(String));
    assert.deepEqual(names(tokenTrials.map(({ method }) => method)), names(paged));
    for (const { method, argumentNames } of tokenTrials) {
      const members = method.input.members.map(({ localName }) => localName);
      const bound = members.filter((name) => name !== 'pageSize' && name !== 'pageToken');
      assert.deepEqual(new Set(argumentNames), new Set(bound), `${method}`);
    }
  });

  for (const trial of tokenTrials) {
    const name = `${trial.method.parent.name}/${trial.method.name}`;

    it(`${name} continues for its caller on both edges, and rejects forged tokens`, async () => {
      const token = await firstToken(trial);
      for (const edge of EDGES) {
        await trial.next(transport(trial.by, edge), victim, token);
        for (const forge of forgeries)
          await rejectsToken(trial.next(transport(trial.by, edge), victim, forge(token)));
      }
    });

    it(`${name} rejects the token of another caller`, async () => {
      const token = await firstToken(trial);
      for (const edge of EDGES) {
        const next = (as: As) => trial.next(transport(as, edge), victim, token);
        await rejectsToken(next({ ...trial.by, tenantId: 2n }));
        for (const as of Object.values(others))
          if (mayCall(trial, as)) await rejectsToken(next(as));
          else await rejects(next(as), Code.PermissionDenied, 'CALLER_NOT_ALLOWED');
      }
    });

    it(`${name} rejects its token with another value of any argument`, async () => {
      const token = await firstToken(trial);
      for (const argument of trial.argumentNames)
        for (const edge of EDGES)
          await rejectsToken(trial.next(transport(trial.by, edge), victim, token, argument));
    });

    it(`${name} rejects the tokens of all other methods`, async () => {
      for (const other of tokenTrials.filter((each) => each !== trial)) {
        const token = await firstToken(other);
        await rejectsToken(trial.next(transport(trial.by, 'web'), victim, token));
      }
    });
  }
});

/** Whether the kind of caller may call the method at all, by the contract. */
function mayCall({ by }: TokenTrial, { roles }: As): boolean {
  return by === binh || (by === service && roles !== undefined);
}

function flip(token: string, index: number): string {
  const bytes = Buffer.from(token, 'base64url');
  const at = index < 0 ? bytes.length + index : index;
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  return bytes.toString('base64url');
}
