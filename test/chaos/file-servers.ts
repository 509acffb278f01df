import { FakeClamd } from '../kit/clamd.ts';
import { FaultProxy } from '../kit/fault-proxy.ts';
import { freshStorage, type TestStorage } from '../kit/storage.ts';

/** A store of files and a malware scanner, each behind a proxy. */
export class FileServers implements AsyncDisposable {
  readonly store: FaultProxy;
  readonly scanner: FaultProxy;
  readonly env: Readonly<Record<string, string>>;
  readonly #storage: TestStorage;
  readonly #clamd: FakeClamd;

  private constructor(storage: TestStorage, store: FaultProxy, clamd: FakeClamd, scanner: FaultProxy) {
    this.#storage = storage;
    this.#clamd = clamd;
    this.store = store;
    this.scanner = scanner;
    this.env = { ...storage.env, CLAMD_ADDR: `127.0.0.1:${scanner.port}` };
  }

  static async open(): Promise<FileServers> {
    const [storage, clamd] = await Promise.all([freshStorage(), FakeClamd.open()]);
    if (storage.proxy === undefined) throw new Error('TEST_S3_ENDPOINT must be http');
    return new FileServers(storage, storage.proxy, clamd, await FaultProxy.open(clamd.port, false));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.scanner.close();
    await Promise.all([this.#storage.close(), this.#clamd.close()]);
  }
}
