import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { archiveSettings, baseBackup, type RecoveryTarget, restoreBackup } from '../../scripts/lib/backup.ts';
import {
  createDatabase,
  createServiceLogin,
  databaseUrl,
  type Postgres,
  randomPassword,
  startPostgres,
} from '../../scripts/lib/postgres.ts';
import { freePort, scratchFolder } from '../../scripts/lib/processes.ts';
import { migrate } from '../../src/db/migrate.ts';
import type { FreshDatabase } from '../kit/database.ts';

const DATABASE = 'discuss';

/** A PostgreSQL that archives its WAL, and can be destroyed and restored. */
export class ArchivingPostgres implements AsyncDisposable {
  readonly database: FreshDatabase;
  readonly adminUrl: string;
  readonly #folder: ReturnType<typeof scratchFolder>;
  readonly #port: number;
  readonly #fsync: boolean;
  #server: Postgres;

  private constructor(
    folder: ReturnType<typeof scratchFolder>,
    server: Postgres,
    fsync: boolean,
    database: FreshDatabase,
  ) {
    this.#folder = folder;
    this.#server = server;
    this.#port = server.port;
    this.#fsync = fsync;
    this.adminUrl = server.url;
    this.database = database;
  }

  /** Without `fsync` it is faster, and would not survive the loss of the machine. */
  static async open(fsync: boolean): Promise<ArchivingPostgres> {
    const folder = scratchFolder('discuss-drill');
    mkdirSync(join(folder.path, 'archive'));
    // The server runs as another user if this process is root's.
    chmodSync(join(folder.path, 'archive'), 0o777);
    const server = await start(folder.path, await freePort(), fsync);
    await createDatabase(server.url, DATABASE);
    const ownerUrl = databaseUrl(server.url, DATABASE);
    await migrate(ownerUrl);
    const serviceUrl = await createServiceLogin(ownerUrl, 'discuss_drill', randomPassword());
    return new ArchivingPostgres(folder, server, fsync, { ownerUrl, serviceUrl, close: async () => {} });
  }

  /** Takes a base backup while the server runs. */
  async backup(): Promise<void> {
    await baseBackup(this.adminUrl, this.#path('backup'));
  }

  /** Ends the server without a checkpoint and removes its data. The archive and the backup remain. */
  async destroy(): Promise<void> {
    process.kill(this.#server.pid, 'SIGQUIT');
    await this.#server.ended;
    rmSync(this.#path('data'), { recursive: true });
  }

  /** Restores the backup and recovers to the target, at the same address. */
  async restore(target: RecoveryTarget): Promise<void> {
    await restoreBackup(this.#path('backup'), this.#path('archive'), this.#path('data'), target);
    this.#server = await start(this.#folder.path, this.#port, this.#fsync);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop();
    this.#folder.remove();
  }

  #path(name: string): string {
    return join(this.#folder.path, name);
  }
}

function start(folder: string, port: number, fsync: boolean): Promise<Postgres> {
  // Connections are accepted when the recovery has ended.
  const settings = [
    `fsync=${fsync}`,
    'hot_standby=off',
    'min_wal_size=32MB',
    ...archiveSettings(join(folder, 'archive')),
  ];
  return startPostgres({ dataDir: join(folder, 'data'), port, durable: true, settings });
}
