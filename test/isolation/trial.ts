import assert from 'node:assert/strict';
import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodUnary,
  equals,
  type MessageInitShape,
  type MessageShape,
} from '@bufbuild/protobuf';
import { Code, type Transport } from '@connectrpc/connect';
import { Access } from '#gen/serp/discuss/v1/options_pb.ts';
import type { As } from '../kit/app.ts';
import { rejects } from '../kit/rejects.ts';
import { ana, type Fixture, formerMember, TENANT, type Victim } from './fixture.ts';

/**
 * How the contract keeps an RPC from outsiders: by an error, an empty response, a response with the outsider's own
 * data, or the access check.
 */
export type Kind = 'rejected' | 'empty' | 'own data' | 'operators only';

/** What one RPC must do for the victims' users and for outsiders. */
export type Trial = {
  readonly method: DescMethod;
  readonly kind: Kind;
  /** As the contract states it; compared with the descriptor. */
  readonly access: Access;
  /** Asserts what the contract states for other users of the tenant and the public group; absent: as for a private one. */
  readonly assertPublicGroup?: (call: OutsiderCall) => Promise<void>;
  /** Asserts that the RPC works, and shows the victim, for a user or service that is allowed to call it. */
  readonly assertAllowed: (fixture: Fixture) => Promise<void>;
  /** True if all users of the tenant get the same response. */
  readonly tenantWide: boolean;
  /** Calls as an outsider, without any assertion. */
  readonly invoke: (call: OutsiderCall) => Promise<unknown>;
  /** Calls as an outsider and asserts the response or error that the contract states. */
  readonly assertOutsider: (call: OutsiderCall) => Promise<void>;
};

/** What other users of the tenant get for the public group. */
type PublicGroup = 'visible' | 'ROLE_TOO_LOW' | 'MEMBER_NOT_FOUND';

export type OutsiderCall = {
  readonly fixture: Fixture;
  readonly transport: Transport;
  readonly as: As;
  readonly victim: Victim;
};

/** What trials of all kinds state. */
export type Common<I extends DescMessage, O extends DescMessage> = {
  readonly access: Access;
  readonly request: (victim: Victim, by: As) => MessageInitShape<I>;
  /** Asserts that the response of the allowed caller shows the victim or the change. */
  readonly shows: (response: MessageShape<O>, victim: Victim, fixture: Fixture) => void | Promise<void>;
  /** The allowed caller; `ana` by default. */
  readonly by?: As;
  /** Arranges what the allowed caller needs. */
  readonly prepare?: (victim: Victim, fixture: Fixture) => Promise<unknown>;
  /** A new private group by default. */
  readonly victim?: (fixture: Fixture) => Promise<Victim> | Victim;
};

type Unary<I extends DescMessage, O extends DescMessage> = DescMethodUnary<I, O>;

/** An RPC that names a channel or something in it: NOT_FOUND for outsiders, with CHANNEL_NOT_FOUND by default. */
export function rejected<I extends DescMessage, O extends DescMessage>(
  method: Unary<I, O>,
  trial: Common<I, O> & {
    readonly publicGroup?: PublicGroup;
    readonly reason?: 'MESSAGE_NOT_FOUND';
    /** True if a former member gets an empty response, as for a repeated call. */
    readonly emptyForFormerMember?: boolean;
  },
): Trial {
  const { publicGroup } = trial;
  const isEmptyFor = ({ fixture, victim, as }: OutsiderCall) =>
    trial.emptyForFormerMember === true && as === formerMember && victim !== fixture.direct;
  const assertPublicGroup = async (outside: OutsiderCall) => {
    const { fixture, transport, as } = outside;
    if (isEmptyFor(outside)) return assertEmpty(method, outside, trial.request(outside.victim, as));
    const victim = publicGroup === 'visible' ? await trial.victim?.(fixture) : undefined;
    const response = call(transport, method, trial.request(victim ?? fixture.publicGroup, as));
    if (publicGroup === 'visible') await trial.shows(await response, victim ?? fixture.publicGroup, fixture);
    else if (publicGroup === 'MEMBER_NOT_FOUND') await rejects(response, Code.NotFound, publicGroup);
    else await rejects(response, Code.PermissionDenied, 'ROLE_TOO_LOW');
  };
  return {
    ...common(method, trial),
    kind: 'rejected',
    ...(publicGroup === undefined ? {} : { assertPublicGroup }),
    assertOutsider: async (outside) => {
      const { transport, victim, as } = outside;
      if (isEmptyFor(outside)) return assertEmpty(method, outside, trial.request(victim, as));
      const response = call(transport, method, trial.request(victim, as));
      await rejects(response, Code.NotFound, trial.reason ?? 'CHANNEL_NOT_FOUND');
    },
  };
}

/** A list, search or count: empty for outsiders, except for the public group in its own tenant. */
export function empty<I extends DescMessage, O extends DescMessage>(
  method: Unary<I, O>,
  trial: Common<I, O> & {
    /** The response to users of another tenant; without any field by default. */
    readonly otherTenant?: MessageInitShape<O>;
    /** True if all users of the tenant get the same response. */
    readonly tenantWide?: boolean;
    /** Asserts the response to other users of the tenant, if it is not the same. */
    readonly sameTenant?: (response: MessageShape<O>, fixture: Fixture) => void;
    /** Removes what says nothing about victims. */
    readonly without?: (response: MessageShape<O>) => MessageShape<O>;
  },
): Trial {
  return {
    ...common(method, trial),
    kind: 'empty',
    tenantWide: trial.tenantWide ?? false,
    assertOutsider: async ({ fixture, transport, as, victim }) => {
      const response = await call(transport, method, trial.request(victim, as));
      if (as.tenantId === TENANT && trial.tenantWide) return trial.shows(response, victim, fixture);
      if (as.tenantId === TENANT && trial.sameTenant !== undefined)
        return trial.sameTenant(response, fixture);
      const shown = trial.without?.(response) ?? response;
      const expected = create<DescMessage>(method.output, trial.otherTenant);
      assert.ok(equals<DescMessage>(method.output, shown, expected), `not empty: ${toText(response)}`);
    },
  };
}

/** An RPC that creates, or changes what is the caller's own: it never touches the victims'. */
export function ownData<I extends DescMessage, O extends DescMessage>(
  method: Unary<I, O>,
  trial: Common<I, O> & {
    readonly outsider: (response: MessageShape<O>, call: OutsiderCall) => void | Promise<void>;
  },
): Trial {
  return {
    ...common(method, trial),
    kind: 'own data',
    assertOutsider: async (outside) => {
      const response = await call(outside.transport, method, trial.request(outside.victim, outside.as));
      await trial.outsider(response, outside);
    },
  };
}

/** An RPC for operators: PERMISSION_DENIED (CALLER_NOT_ALLOWED) for all users and services. */
export function operatorsOnly<I extends DescMessage, O extends DescMessage>(
  method: Unary<I, O>,
  trial: Common<I, O>,
): Trial {
  return {
    ...common(method, trial),
    kind: 'operators only',
    assertOutsider: async ({ transport, victim, as }) => {
      const response = call(transport, method, trial.request(victim, as));
      await rejects(response, Code.PermissionDenied, 'CALLER_NOT_ALLOWED');
    },
  };
}

function common<I extends DescMessage, O extends DescMessage>(method: Unary<I, O>, trial: Common<I, O>) {
  return {
    method,
    access: trial.access,
    tenantWide: false,
    invoke: ({ transport, victim, as }: OutsiderCall) => call(transport, method, trial.request(victim, as)),
    assertAllowed: async (fixture: Fixture) => {
      const victim = (await trial.victim?.(fixture)) ?? (await fixture.newGroup());
      await trial.prepare?.(victim, fixture);
      const by = trial.by ?? ana;
      const transport = fixture.app.transport(by, 'grpc', 0);
      await trial.shows(await call(transport, method, trial.request(victim, by)), victim, fixture);
    },
  };
}

async function call<I extends DescMessage, O extends DescMessage>(
  transport: Transport,
  method: Unary<I, O>,
  request: MessageInitShape<I>,
): Promise<MessageShape<O>> {
  const { message } = await transport.unary(method, undefined, 10_000, undefined, request);
  return message;
}

async function assertEmpty<I extends DescMessage, O extends DescMessage>(
  method: Unary<I, O>,
  { transport }: OutsiderCall,
  request: MessageInitShape<I>,
): Promise<void> {
  const response = await call(transport, method, request);
  assert.ok(equals<DescMessage>(method.output, response, create<DescMessage>(method.output)));
}

export function toText(value: unknown): string {
  return JSON.stringify(value, (_, part) => (typeof part === 'bigint' ? `${part}` : part));
}

/** Whether a caller passes the access check of an RPC. */
export function isPermitted(access: Access, { userId, roles = [] }: As): boolean {
  const isService = roles.includes('discuss.service');
  if (access === Access.USER) return userId > 0n;
  if (access === Access.SERVICE) return isService;
  if (access === Access.USER_OR_SERVICE) return userId > 0n || isService;
  if (access === Access.ANY) return true;
  return false;
}
