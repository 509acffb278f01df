import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type DescMethod, getOption } from '@bufbuild/protobuf';
import { Code } from '@connectrpc/connect';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { access } from '#gen/serp/discuss/v1/options_pb.ts';
import { PresenceService } from '#gen/serp/discuss/v1/presence_service_pb.ts';
import { routes } from '../src/routes.ts';
import { activityTrials } from './isolation/activity-trials.ts';
import { adminTrials, arrangeMaintenance } from './isolation/admin-trials.ts';
import { attachmentTrials } from './isolation/attachment-trials.ts';
import { channelTrials } from './isolation/channel-trials.ts';
import { eventTrials } from './isolation/event-trials.ts';
import {
  ana,
  binh,
  createOwnedGroup,
  type Fixture,
  formerMember,
  formerOwner,
  openFixture,
  TENANT,
  type Victim,
} from './isolation/fixture.ts';
import { memberTrials } from './isolation/member-trials.ts';
import { messageTrials } from './isolation/message-trials.ts';
import { presenceTrials } from './isolation/presence-trials.ts';
import { searchTrials } from './isolation/search-trials.ts';
import { serverTrials } from './isolation/server-trials.ts';
import { assertUnchanged, readState, type State } from './isolation/state.ts';
import { isPermitted, type Kind, type Trial } from './isolation/trial.ts';
import type { As } from './kit/app.ts';
import { rejects } from './kit/rejects.ts';
import { Subscriber } from './kit/stream.ts';
import { until } from './kit/until.ts';

// A new RPC without a trial fails the first test.
const trials: readonly Trial[] = [
  ...channelTrials,
  ...memberTrials,
  ...messageTrials,
  ...attachmentTrials,
  ...searchTrials,
  ...activityTrials,
  ...presenceTrials,
  ...eventTrials,
  ...adminTrials,
  ...serverTrials,
];

// Lists come first, while the outsiders have nothing of their own.
const order: readonly Kind[] = ['empty', 'rejected', 'own data', 'operators only'];

const SERVICE = 'discuss.service';
const FORMER_OWNER = 'the former owner of a deleted channel';

const outsiders: Readonly<Record<string, As>> = {
  'a user of the same tenant': { userId: 3n, tenantId: TENANT },
  'a former member': formerMember,
  [FORMER_OWNER]: formerOwner,
  'a user of another tenant with the id of a member': { userId: 1n, tenantId: 2n },
  'a user of another tenant who sends the headers of a service': {
    userId: 1n,
    tenantId: 2n,
    roles: [],
    actsIn: TENANT,
  },
  'a service of another tenant for a user with the id of a member': {
    userId: 1n,
    tenantId: 2n,
    roles: [SERVICE],
  },
  'a service of another tenant': { userId: 0n, tenantId: 2n, roles: [SERVICE] },
};

const foreignService: As = { userId: 0n, tenantId: 2n, roles: [SERVICE], tenants: [2n], actsIn: TENANT };

const nameOf = ({ method }: Trial) => `${method.parent.name}/${method.name}`;

describe('isolation', () => {
  let fixture: Fixture;
  let deleted: Victim;
  let watcher: Subscriber;

  before(async () => {
    fixture = await openFixture();
    const { app, group, topic, direct, publicGroup } = fixture;
    deleted = await createOwnedGroup(fixture);
    await assertOwnerSees(deleted);
    await app.client(ChannelService, formerOwner).deleteChannel({ channelId: deleted.channelId });
    await arrangeMaintenance(fixture);
    const channelIds = [group, topic, direct, publicGroup].map(({ channelId }) => channelId);
    watcher = new Subscriber(app.client(EventService, ana), channelIds);
    await watcher.connect();
  });
  after(async () => {
    await watcher.disconnect();
    await fixture.close();
  });

  it('has a trial for every RPC of every service, with the access of its descriptor', () => {
    const instance = fixture.app.instances[0];
    assert.ok(instance);
    const methods = routes(instance.deps).flatMap(({ service }) => service.methods);
    const names = (list: readonly (typeof methods)[number][]) => new Set(list.map((method) => `${method}`));
    assert.deepEqual(names(trials.map(({ method }) => method)), names(methods));
    for (const trial of trials)
      assert.equal(trial.access, getOption(trial.method, access), `${trial.method}`);
  });

  for (const kind of order) {
    // Outsiders of the tenant may change what is their own.
    const ownUserIds = kind === 'own data' ? [3n, 4n, 5n] : [];
    // Reading it takes longer than the calls of an outsider: the state after one trial is that before the next.
    let before: State | undefined;
    for (const trial of trials.filter((each) => each.kind === kind)) {
      const name = nameOf(trial);
      describe(name, () => {
        it(`${name} gives a service nothing of a tenant that it does not serve`, async () => {
          before ??= await readState(fixture, deleted, ownUserIds);
          await attempt(trial, foreignService);
        });
        for (const [outsider, as] of Object.entries(outsiders))
          it(`${name} shows nothing to ${outsider}`, () => attempt(trial, as));
        it(`${name} changes nothing of the victims`, async () => {
          const last = before ?? assert.fail();
          before = await readState(fixture, deleted, ownUserIds);
          assertUnchanged(last, before);
        });
      });
    }
  }

  for (const kind of order)
    for (const trial of trials.filter((each) => each.kind === kind))
      it(`${nameOf(trial)} works for a user or service that is allowed to call it`, () =>
        trial.assertAllowed(fixture));

  it('has a second layer for a service that acts for a user: row-level security shows the rows of that user', async () => {
    const { db } = fixture.app.instances[0]?.deps ?? assert.fail();
    const rowsOf = async (kind: 'user' | 'service', userId: bigint, method: DescMethod) => {
      const caller = { kind, tenantId: TENANT, userId, name: '', roles: new Set<string>() };
      const scope = { caller, method, signal: new AbortController().signal, deadline: undefined };
      const [row] = await db.run(
        scope,
        (sql) => sql<{ members: number; messages: number }[]>`
          select
            (select count(*)::int from channel_members) as members,
            (select count(*)::int from messages) as messages
        `,
      );
      return [row?.members ?? 0, row?.messages ?? 0] as const;
    };
    const { listMessages } = MessageService.method;
    const [own, all] = [await rowsOf('user', 3n, listMessages), await rowsOf('service', 0n, listMessages)];
    assert.ok(all[0] > own[0] && all[1] > own[1]);
    assert.deepEqual(await rowsOf('service', 3n, listMessages), own);
    // The entity's discussion may be of other users than the one that the service acts for.
    assert.deepEqual(await rowsOf('service', 3n, ChannelService.method.getOrCreateTopicChannel), all);
  });

  it('sends the stream of a member nothing that an outsider did', async () => {
    const { app, group, topic, publicGroup } = fixture;
    for (const { channelId } of [group, topic, publicGroup]) {
      await app.client(PresenceService, binh).startTyping({ channelId });
      await app.client(MessageService, binh).sendMessage({ channelId, content: 'mốc' });
    }
    await until(() => watcher.events.length >= 3 && watcher.count('typing') >= 3, 'the events of a member');
    const contents = watcher.events.map(({ change }) =>
      change.case === 'messageCreated' ? change.value.message?.content : change.case,
    );
    assert.deepEqual(contents, ['mốc', 'mốc', 'mốc']);
    const typing = watcher.others.flatMap((payload) =>
      payload.case === 'typing' ? [payload.value.userId] : [],
    );
    assert.deepEqual(new Set(typing), new Set([binh.userId]));
    assert.deepEqual(watcher.faults, []);
  });

  async function attempt(trial: Trial, as: As): Promise<void> {
    const transport = fixture.app.transport(as, trial.kind === 'rejected' ? 'grpc' : 'web', 0);
    const call = (victim: Victim) => ({ fixture, transport, as, victim });
    const assertOutsider = (victim: Victim) =>
      as !== foreignService && isPermitted(trial.access, as)
        ? trial.assertOutsider(call(victim))
        : rejects(trial.invoke(call(victim)), Code.PermissionDenied, 'CALLER_NOT_ALLOWED');
    const { group, direct, formerDirect, topic, publicGroup } = fixture;
    const victims = as === formerOwner ? [deleted] : [group, direct, formerDirect, topic];
    for (const victim of victims) await assertOutsider(victim);
    const isPublicToCaller = as.tenantId === TENANT && isPermitted(trial.access, as);
    if (isPublicToCaller && trial.assertPublicGroup !== undefined)
      await trial.assertPublicGroup(call(publicGroup));
    else await assertOutsider(publicGroup);
  }

  async function assertOwnerSees(victim: Victim): Promise<void> {
    for (const trial of trials.filter(({ kind, tenantWide }) => kind === 'empty' && !tenantWide)) {
      const transport = fixture.app.transport(formerOwner, 'web', 0);
      await assert.rejects(trial.assertOutsider({ fixture, transport, as: formerOwner, victim }));
    }
  }
});
