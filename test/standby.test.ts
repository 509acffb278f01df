import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { openService, type Service } from '../src/service.ts';
import { Stores, withHosts } from './chaos/stores.ts';
import { testConfig } from './kit/config.ts';
import { createTokenSigner } from './kit/tokens.ts';
import { until } from './kit/until.ts';
import { testLog } from './kit/warnings.ts';

const METRIC = /^discuss_standby_lag_(bytes|seconds)\{standby="standby1"\} (\d+(?:\.\d+)?)$/gm;

let stores: Stores;
let service: Service;

before(async () => {
  stores = await Stores.open();
  const tokens = await createTokenSigner();
  const config = testConfig({
    GRPC_ADDR: '127.0.0.1:0',
    WEB_ADDR: '127.0.0.1:0',
    METRICS_ADDR: '127.0.0.1:0',
    DATABASE_URL: withHosts(stores.serviceUrl, [`127.0.0.1:${stores.postgresPort}`]),
    REDIS_URL: `redis://127.0.0.1:${stores.redisPort}`,
    AUTH_JWKS_URL: tokens.jwksUrl,
    AUTH_ISSUER: tokens.issuer,
    AUTH_AUDIENCE: tokens.audience,
    SECRET_KEYS: tokens.secretKeys,
    MAINTENANCE_INTERVAL_MS: '100',
  });
  service = await openService(config, testLog());
});
after(async () => {
  await service.drain();
  await stores[Symbol.asyncDispose]();
});

it('the lag of a connected standby is a metric', async () => {
  const lags = async () => {
    const text = await (await fetch(`http://${service.metricsAddress}/metrics`)).text();
    return new Map([...text.matchAll(METRIC)].map(([, unit, value]) => [unit, Number(value)]));
  };
  assert.deepEqual([...(await lags())], []);
  await stores.startStandby();
  await until(async () => (await lags()).size === 2, 'both metrics');
  await until(async () => (await lags()).get('bytes') === 0, 'an idle standby has applied everything');
});
