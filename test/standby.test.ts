import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { SearchService } from '#gen/serp/discuss/v1/search_service_pb.ts';
import { openService, type Service } from '../src/service.ts';
import { Stores, withHosts } from './chaos/stores.ts';
import { testConfig } from './kit/config.ts';
import { createTokenSigner } from './kit/tokens.ts';
import { until } from './kit/until.ts';
import { testLog } from './kit/warnings.ts';

const LAG = /^discuss_standby_lag_(bytes|seconds)\{standby="standby1"\} (\d+(?:\.\d+)?)$/gm;
const READS = /^discuss_standby_reads_total\{result="(\w+)"\} (\d+)$/gm;
const MESSAGES = 100;

describe('a standby of PostgreSQL', () => {
  let stores: Stores;
  let services: readonly Service[];
  let authorization: string;
  let channelId: bigint;

  before(async () => {
    stores = await Stores.open();
    await stores.startStandby();
    const tokens = await createTokenSigner();
    authorization = `Bearer ${await tokens.sign({ userId: 1n, tenantId: 1n })}`;
    const config = testConfig({
      GRPC_ADDR: '127.0.0.1:0',
      WEB_ADDR: '127.0.0.1:0',
      METRICS_ADDR: '127.0.0.1:0',
      DATABASE_URL: withHosts(stores.serviceUrl, [`127.0.0.1:${stores.postgresPort}`]),
      DATABASE_REPLICA_URL: stores.serviceUrl.replace(`:${stores.postgresPort}/`, `:${stores.standbyPort}/`),
      REDIS_URL: `redis://127.0.0.1:${stores.redisPort}`,
      AUTH_JWKS_URL: tokens.jwksUrl,
      AUTH_ISSUER: tokens.issuer,
      AUTH_AUDIENCE: tokens.audience,
      SECRET_KEYS: tokens.secretKeys,
      LIMIT_SEND_PER_MINUTE: '0',
      LIMIT_READ_PER_MINUTE: '0',
      MAINTENANCE_INTERVAL_MS: '100',
    });
    services = [await openService(config, testLog()), await openService(config, testLog())];
    const { channel } = await client(ChannelService).createChannel({
      name: 'Kho',
      requestId: crypto.randomUUID(),
    });
    channelId = channel?.id ?? assert.fail();
  });
  after(async () => {
    await Promise.all(services.map((service) => service.drain()));
    await stores[Symbol.asyncDispose]();
  });

  function client<S extends Parameters<typeof createClient>[0]>(service: S, instance = 0) {
    const baseUrl = `http://${services[instance]?.grpcAddress}`;
    const transport = createGrpcTransport({
      baseUrl,
      interceptors: [
        (next) => (request) => {
          request.header.set('authorization', authorization);
          return next(request);
        },
      ],
    });
    return createClient(service, transport);
  }
  const metrics = async (pattern: RegExp, instance = 1) => {
    const text = await (await fetch(`http://${services[instance]?.metricsAddress}/metrics`)).text();
    return new Map([...text.matchAll(pattern)].map(([, label, value]) => [label, Number(value)]));
  };
  const post = async (content: string) => {
    const { message } = await client(MessageService).sendMessage({
      channelId,
      content,
      requestId: crypto.randomUUID(),
    });
    return message?.id ?? assert.fail();
  };
  /** Reads a message as a page of older history, on the other instance. */
  const isRead = async (id: bigint) => {
    const position = { case: 'beforeMessageId', value: id + 1n } as const;
    const { messages } = await client(MessageService, 1).listMessages({ channelId, pageSize: 1, position });
    return messages[0]?.id === id;
  };

  it('serves reads of another instance that began after a commit', async () => {
    for (let index = 0; index < MESSAGES; index += 1) assert.ok(await isRead(await post(`${index}`)));
    const reads = await metrics(READS);
    assert.ok((reads.get('served') ?? 0) > MESSAGES / 2, `${[...reads]}`);
  });

  it('serves searches and the list of public groups', async () => {
    await until(async () => {
      const { messages } = await client(SearchService, 1).searchMessages({ query: '42' });
      return messages.length === 1;
    });
    const { entries } = await client(ChannelService, 1).browseChannels({});
    assert.equal(entries.length, 1);
    assert.equal((await metrics(READS)).get('failed'), undefined);
  });

  it('has its lag in metrics', async () => {
    await until(async () => (await metrics(LAG)).size === 2, 'both metrics');
    await until(
      async () => (await metrics(LAG)).get('bytes') === 0,
      'an idle standby has applied everything',
    );
  });

  it('is not read while it is late', async () => {
    await stores.pauseStandby();
    const before = await metrics(READS);
    for (let index = 0; index < 3; index += 1) assert.ok(await isRead(await post('muộn')));
    const after = await metrics(READS);
    assert.equal(after.get('served'), before.get('served'));
    assert.ok((after.get('late') ?? 0) > (before.get('late') ?? 0));
    await stores.resumeStandby();
    await until(async () => {
      await isRead(await post('kịp'));
      return ((await metrics(READS)).get('served') ?? 0) > (before.get('served') ?? 0);
    });
  });

  it('is not needed: reads continue when it has ended', async () => {
    await stores.stopStandby();
    for (let index = 0; index < 3; index += 1) assert.ok(await isRead(await post('một mình')));
  });
});
