import assert from 'node:assert/strict';
import { AdminService } from '#gen/serp/discuss/v1/admin_service_pb.ts';
import type { App, As } from './app.ts';

const operator: As = { userId: 0n, tenantId: 0n, roles: ['discuss.admin'] };

/** Compares every stored number with a count by hand, page by page; how many of each kind had to be repaired. */
export async function reconcile(the: App, tenantId = 0n, pageSize = 0): Promise<Map<string, number>> {
  const repaired = new Map<string, number>();
  for (let pageToken = ''; ; ) {
    const page = await the
      .client(AdminService, operator)
      .reconcileCounters({ tenantId, pageSize, pageToken });
    for (const { name, repairedCount } of page.counters)
      repaired.set(name, (repaired.get(name) ?? 0) + Number(repairedCount));
    if (page.nextPageToken === '') return repaired;
    pageToken = page.nextPageToken;
  }
}

/** Asserts that every stored number is what it should be. */
export async function assertNothingToRepair(the: App): Promise<void> {
  const repaired = await reconcile(the);
  assert.ok(repaired.size > 10);
  assert.deepEqual(
    [...repaired].filter(([, count]) => count > 0),
    [],
  );
}
