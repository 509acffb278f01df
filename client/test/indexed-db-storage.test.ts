import 'fake-indexeddb/auto';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { indexedDbStorage } from '../src/indexed-db-storage.ts';
import type { Entry } from '../src/outbox.ts';

test('entries survive a reload, by user', async () => {
  const entry: Entry = {
    requestId: '00000000-0000-4000-8000-000000000001',
    draft: { channelId: '9007199254740993', content: 'Xin chào', mentionUserIds: ['2'] },
    order: 1,
  };
  const other = { ...entry, requestId: '00000000-0000-4000-8000-000000000002' };
  const storage = await indexedDbStorage('outbox-1');
  await storage.put(entry);
  await storage.put(other);
  await storage.put({ ...other, failure: 'rejected' });
  await storage.delete(entry.requestId);
  assert.deepEqual(await (await indexedDbStorage('outbox-1')).all(), [{ ...other, failure: 'rejected' }]);
  assert.deepEqual(await (await indexedDbStorage('outbox-2')).all(), []);
});
