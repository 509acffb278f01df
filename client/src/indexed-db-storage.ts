import type { Entry, OutboxStorage } from './outbox.ts';

const STORE = 'entries';

/** Keeps entries in the browser, where they survive a reload. Use one name per user. */
export async function indexedDbStorage(name: string): Promise<OutboxStorage> {
  const opening = indexedDB.open(name, 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(STORE, { keyPath: 'requestId' });
  const database = await resultOf(opening);
  const entries = (mode: IDBTransactionMode) => database.transaction(STORE, mode).objectStore(STORE);
  return {
    all: () => resultOf<Entry[]>(entries('readonly').getAll()),
    async put(entry) {
      await resultOf(entries('readwrite').put(entry));
    },
    async delete(requestId) {
      await resultOf(entries('readwrite').delete(requestId));
    },
    // Pages without a secure context have no locks.
    exclusive: (work) => (navigator.locks === undefined ? work() : navigator.locks.request(name, work)),
  };
}

function resultOf<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
