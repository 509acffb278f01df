import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { type DescMessage, toJson } from '@bufbuild/protobuf';
import { Code } from '@connectrpc/connect';
import {
  GetServerInfoResponseSchema,
  ServerLimitsSchema,
  ServerService,
} from '#gen/serp/discuss/v1/server_service_pb.ts';
import { type App, type As, app, type Edge } from '../../test/kit/app.ts';
import { rejects } from '../../test/kit/rejects.ts';

const edges: readonly Edge[] = ['grpc', 'web'];
const callers: Readonly<Record<string, As>> = {
  user: { userId: 1n, tenantId: 1n },
  service: { userId: 0n, tenantId: 1n, roles: ['discuss.service'] },
  'service without a tenant': { userId: 0n, tenantId: 0n, roles: ['discuss.service'] },
  operator: { userId: 0n, tenantId: 0n, roles: ['discuss.admin'] },
};

describe('ServerService.GetServerInfo', () => {
  let the: App;

  before(async () => {
    the = await app({
      CHANNEL_MAX_PINS: '7',
      CHANNEL_NOTICES: 'false',
      EDIT_WINDOW_HOURS: '0',
      LIMIT_SEND_PER_MINUTE: '61',
      WRITE_STREAM_IN_FLIGHT: '9',
      MAX_DEADLINE_MS: '61500',
    });
    await the.start({ CHANNEL_MAX_PINS: '8', CHANNEL_NOTICES: 'true', EDIT_WINDOW_HOURS: '2' });
  });
  after(() => the.close());

  const read = (as: As, edge: Edge = 'grpc', instance = 0) =>
    the.client(ServerService, as, edge, instance).getServerInfo({});

  for (const [name, as] of Object.entries(callers))
    it(`gives the caller "${name}" the configured limits on both edges`, async () => {
      for (const edge of edges) {
        const before = Date.now();
        const info = await read(as, edge);
        const { limits, features, serverTime } = info;
        assert.deepEqual(
          [limits?.channelPins, limits?.writesPerMinute, limits?.sendStreamRequests, limits?.editWindow],
          [7, 61, 9, undefined],
        );
        assert.equal(features?.notices, false);
        assert.equal(features?.encryption, false);
        assert.deepEqual([limits?.maxDeadline?.seconds, limits?.maxDeadline?.nanos], [61n, 500_000_000]);
        assert.ok(Number(serverTime?.seconds) >= Math.floor(before / 1000));
      }
    });

  it('states the configuration of the instance, with every limit set', async () => {
    const { limits, features } = await read(callers['user'] ?? assert.fail(), 'web', 1);
    assert.deepEqual(
      [limits?.channelPins, limits?.editWindow?.seconds, features?.notices],
      [8, 7_200n, true],
    );
    const unlimited = ['reads', 'searches', 'stream_opens', 'tenant_calls', 'cancelled_calls'].map(
      (kind) => `${kind}_per_minute`,
    );
    const names = ServerLimitsSchema.fields.map(({ name }) => name);
    const unset = names.filter((name) => !namesIn(ServerLimitsSchema, limits).has(name));
    assert.deepEqual(unset, [...unlimited, 'streams_per_user', 'streams_per_tenant']);
  });

  it('states the version of package.json', async () => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
    const info = await read(callers['operator'] ?? assert.fail());
    assert.equal(info.contractVersion, version);
    assert.ok(toJson(GetServerInfoResponseSchema, info));
  });

  it('rejects callers without a valid token, and services that name a tenant of another service', async () => {
    for (const edge of edges) {
      const expired = { userId: 1n, tenantId: 1n, expiresIn: -60 };
      await rejects(read(expired, edge), Code.Unauthenticated, 'TOKEN_INVALID');
      const foreign = { userId: 0n, tenantId: 1n, roles: ['discuss.service'], actsIn: 2n };
      await rejects(read(foreign, edge), Code.PermissionDenied, 'CALLER_NOT_ALLOWED');
    }
  });
});

function namesIn(schema: DescMessage, message: object | undefined): ReadonlySet<string> {
  const set = schema.fields.filter(({ localName }) => {
    const value: unknown = Reflect.get(message ?? {}, localName);
    return value !== undefined && value !== 0;
  });
  return new Set(set.map(({ name }) => name));
}
