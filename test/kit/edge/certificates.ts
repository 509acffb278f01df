import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generate } from 'selfsigned';

type Pair = { readonly cert: string; readonly key: string };

/** A certificate authority, and a folder for the files of certificates that it issues. */
export class TestAuthority implements Disposable {
  readonly cert: string;
  readonly #key: string;
  readonly #folder = mkdtempSync(join(tmpdir(), 'discuss-tls-'));

  private constructor({ cert, key }: Pair) {
    this.cert = cert;
    this.#key = key;
  }

  static async create(): Promise<TestAuthority> {
    const extensions = [
      { name: 'basicConstraints' as const, cA: true, critical: true },
      { name: 'keyUsage' as const, keyCertSign: true, digitalSignature: true, critical: true },
    ];
    return new TestAuthority(await issue('authority', extensions));
  }

  /** A certificate of the authority for localhost, as server and as client. */
  issue(commonName: string): Promise<Pair> {
    const altNames = [
      { type: 2 as const, value: 'localhost' },
      { type: 7 as const, ip: '127.0.0.1' },
    ];
    const extensions = [
      { name: 'basicConstraints' as const, cA: false },
      { name: 'extKeyUsage' as const, serverAuth: true, clientAuth: true },
      { name: 'subjectAltName' as const, altNames },
    ];
    return issue(commonName, extensions, { cert: this.cert, key: this.#key });
  }

  /** Writes a file and returns its path. */
  write(name: string, pem: string): string {
    const path = join(this.#folder, name);
    writeFileSync(path, pem);
    return path;
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

type Options = NonNullable<Parameters<typeof generate>[1]>;

async function issue(commonName: string, extensions: Options['extensions'], ca?: Pair): Promise<Pair> {
  const options: Options = { keyType: 'ec', algorithm: 'sha256', ...(ca !== undefined && { ca }) };
  if (extensions !== undefined) options.extensions = extensions;
  const { cert, private: key } = await generate([{ name: 'commonName', value: commonName }], options);
  return { cert, key };
}
