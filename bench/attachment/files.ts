import { setTimeout as sleep } from 'node:timers/promises';
import { Child } from '../../scripts/lib/child.ts';
import { type Clamd, openTestClamd } from '../../scripts/lib/clamd.ts';
import { lowerPriority } from '../../scripts/lib/priority.ts';
import { scratchFolder } from '../../scripts/lib/processes.ts';
import type { Pool } from '../../src/db/types.ts';
import { FakeClamd } from '../../test/kit/clamd.ts';
import { TENANT } from '../lib/stack.ts';
import type { StoreCommands } from '../processes/store.ts';

const POLL_MS = 20;

/** A store and a scanner of files; disposal stops both. */
export class FileServers implements AsyncDisposable {
  readonly store: Child<StoreCommands>;
  readonly scanner: string;
  readonly #owned: AsyncDisposableStack;

  private constructor(store: Child<StoreCommands>, scanner: string, owned: AsyncDisposableStack) {
    this.store = store;
    this.scanner = scanner;
    this.#owned = owned;
  }

  static async open(): Promise<FileServers> {
    await using owned = new AsyncDisposableStack();
    const folder = owned.adopt(scratchFolder('discuss-bench-files'), ({ remove }) => remove());
    const store = owned.use(
      await Child.start<StoreCommands>('bench/processes/store.ts', { STORE_FOLDER: folder.path }),
    );
    const clamd = owned.adopt(await openScanner(), ({ stop }) => stop());
    return new FileServers(store, clamd.address ?? '', owned.move());
  }

  /** Settings of the service. */
  async settings(): Promise<Record<string, string>> {
    const scan = { CLAMD_ADDR: this.scanner, SCAN_INTERVAL_MS: '20' };
    return { ...(await this.store.call('settings')), ...scan };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync();
  }
}

async function openScanner(): Promise<Clamd> {
  const real = await openTestClamd();
  if (real !== undefined) {
    // In production, clamd is on another machine.
    if (real.pid !== undefined) lowerPriority(real.pid);
    return real;
  }
  console.error(
    '  there is no clamd: the scanner of the tests, which only searches for EICAR, takes its place',
  );
  const fake = await FakeClamd.open();
  return { address: fake.address, pid: undefined, stop: () => fake.close() };
}

export type NewFile = { readonly key: string; readonly size: number; readonly type: string };

/** Inserts uploaded files, which instances then scan. */
export async function insertFiles(sql: Pool, channelId: bigint, files: readonly NewFile[]): Promise<void> {
  await sql`
    insert into attachments
      (channel_id, tenant_id, uploader_id, file_name, file_size, file_type, s3_bucket, s3_key, s3_url, created_at, updated_at)
    select ${channelId}, ${TENANT}, 1, 'file', f.size, f.type, 'attachments', f.key, '', now_ms(), now_ms()
    from json_to_recordset(${JSON.stringify(files)}::text::json) as f (key text, size bigint, type text)
  `;
}

export async function untilScanned(sql: Pool): Promise<void> {
  for (;;) {
    const pending = await sql`select from attachments where scan_status = 'PENDING' limit 1`;
    if (pending.length === 0) break;
    await sleep(POLL_MS);
  }
  const failed = await sql`select from attachments where scan_status != 'CLEAN'`;
  if (failed.length > 0) throw new Error(`${failed.length} files are not clean`);
}
