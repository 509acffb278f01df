import assert from 'node:assert/strict';
import { test } from 'node:test';
import { QuotaFailureSchema, RetryInfoSchema } from '#gen/google/rpc/error_details_pb.ts';
import { bearer, clientOf, failureOf, openEdges, protocols } from '../../test/kit/edge/edges.ts';
import { until } from '../../test/kit/until.ts';

for (const { name, open } of protocols)
  test(`a user who cancels more calls than the limit is rejected for a while: ${name}`, async () => {
    let time = Date.now();
    let running = Promise.withResolvers<void>();
    await using edges = await openEdges(
      {
        async write({ content }, { signal }) {
          if (content !== 'slow') return {};
          running.resolve();
          await new Promise((resolve) => signal.addEventListener('abort', resolve));
          return {};
        },
      },
      { LIMIT_CANCELLED_PER_MINUTE: '3' },
      () => time,
    );
    const client = clientOf(open(edges));
    const quick = (token: string) => client.write({ channelId: 1n, content: 'quick' }, bearer(token));
    for (let call = 0; call < 4; call += 1) {
      await quick(edges.token);
      running = Promise.withResolvers();
      const controller = new AbortController();
      const { signal } = controller;
      const cancelled = client.write({ channelId: 1n, content: 'slow' }, { ...bearer(edges.token), signal });
      await running.promise;
      controller.abort();
      await failureOf(cancelled);
      await until(() => edges.log.filter(({ code }) => code === 'CANCELLED').length > call);
    }
    const { error, reason } = await failureOf(quick(edges.token));
    assert.equal(reason, 'RATE_LIMITED');
    const [quota] = error.findDetails(QuotaFailureSchema);
    assert.equal(quota?.violations[0]?.description, '3 cancelled calls per minute and user');
    assert.equal(error.findDetails(RetryInfoSchema)[0]?.retryDelay?.seconds, 20n);
    await quick(await edges.signer.sign({ userId: 8n, tenantId: 3n }));
    time += 20_000;
    await quick(edges.token);
  });
