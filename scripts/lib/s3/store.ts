import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { S3Error } from './error.ts';

export interface StoredObject {
  readonly key: string;
  readonly size: number;
  readonly type: string;
  readonly etag: string;
  /** Base64; of the checksums of its parts and followed by their number for a multipart upload. */
  readonly sha256: string;
  readonly modified: string;
}

export interface StoredPart {
  readonly number: number;
  readonly size: number;
  readonly etag: string;
  readonly sha256: string;
}

interface Body {
  readonly stream: Readable;
  /** Base64 SHA-256 that the body must have, if the client states one. */
  readonly sha256: readonly string[];
}

const MIN_PART_BYTES = 5 << 20;

/** One bucket in a folder: a file for the bytes and one for the properties of each object. */
export class ObjectStore {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async open(): Promise<void> {
    for (const name of ['objects', 'uploads', 'partial'])
      await mkdir(join(this.#folder, name), { recursive: true });
  }

  async put(key: string, type: string, body: Body): Promise<StoredObject> {
    const { file, size, md5, sha256 } = await this.#receive(body);
    const object = { key, size, type, etag: `"${md5}"`, sha256, modified: new Date().toISOString() };
    await this.#replace(object, file);
    return object;
  }

  async find(key: string): Promise<StoredObject> {
    try {
      const object: StoredObject = JSON.parse(await readFile(`${this.#path(key)}.json`, 'utf8'));
      return object;
    } catch {
      throw new S3Error(404, 'NoSuchKey');
    }
  }

  /** The bytes from `first` to `last`. */
  read(key: string, first: number, last: number): Readable {
    return createReadStream(this.#path(key), { start: first, end: last });
  }

  async copy(from: string, to: string): Promise<StoredObject> {
    const source = await this.find(from);
    const stream = createReadStream(this.#path(from));
    return this.put(to, source.type, { stream, sha256: [] });
  }

  async remove(key: string): Promise<void> {
    await rm(`${this.#path(key)}.json`, { force: true });
    await rm(this.#path(key), { force: true });
  }

  /** Keys in order, from the one after `after` on. */
  async list(prefix: string, after: string): Promise<StoredObject[]> {
    const names = await readdir(join(this.#folder, 'objects'));
    const read = names
      .filter((name) => name.endsWith('.json'))
      .map((name) => readFile(join(this.#folder, 'objects', name), 'utf8'));
    const objects = (await Promise.all(read)).map((json): StoredObject => JSON.parse(json));
    return objects
      .filter(({ key }) => key.startsWith(prefix) && key > after)
      .sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  async createUpload(key: string, type: string): Promise<string> {
    const id = randomUUID();
    await mkdir(join(this.#folder, 'uploads', id));
    await writeFile(join(this.#folder, 'uploads', id, 'upload.json'), JSON.stringify({ key, type }));
    return id;
  }

  async putPart(key: string, id: string, number: number, body: Body): Promise<StoredPart> {
    const { folder } = await this.#upload(key, id);
    const { file, size, md5, sha256 } = await this.#receive(body);
    const part = { number, size, etag: `"${md5}"`, sha256 };
    await rename(file, join(folder, `${number}`));
    await writeFile(join(folder, `${number}.json`), JSON.stringify(part));
    return part;
  }

  async listParts(key: string, id: string): Promise<StoredPart[]> {
    const { folder } = await this.#upload(key, id);
    const names = (await readdir(folder)).filter((name) => /^\d+\.json$/.test(name));
    const parts = await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')));
    return parts.map((json): StoredPart => JSON.parse(json)).sort((a, b) => a.number - b.number);
  }

  async completeUpload(
    key: string,
    id: string,
    wanted: readonly { readonly number: number; readonly etag: string }[],
  ): Promise<StoredObject> {
    const { folder, type } = await this.#upload(key, id);
    const stored = await this.listParts(key, id);
    const parts = wanted.map(({ number, etag }, index) => {
      const part = stored.find((each) => each.number === number);
      if (part?.etag.replaceAll('"', '') !== etag.replaceAll('"', '')) throw new S3Error(400, 'InvalidPart');
      if (index < wanted.length - 1 && part.size < MIN_PART_BYTES) throw new S3Error(400, 'EntityTooSmall');
      return part;
    });
    const stream = Readable.from(concat(parts.map(({ number }) => join(folder, `${number}`))));
    const { file, size } = await this.#receive({ stream, sha256: [] });
    const object = { key, size, type, ...toComposite(parts), modified: new Date().toISOString() };
    await this.#replace(object, file);
    await rm(folder, { recursive: true });
    return object;
  }

  async abortUpload(key: string, id: string): Promise<void> {
    const { folder } = await this.#upload(key, id);
    await rm(folder, { recursive: true, force: true });
  }

  async listUploads(prefix: string): Promise<{ readonly key: string; readonly id: string }[]> {
    const ids = await readdir(join(this.#folder, 'uploads'));
    const uploads = await Promise.all(
      ids.map(async (id) => {
        const json = await readFile(join(this.#folder, 'uploads', id, 'upload.json'), 'utf8');
        const { key }: { key: string } = JSON.parse(json);
        return { key, id };
      }),
    );
    return uploads.filter(({ key }) => key.startsWith(prefix)).sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  async #upload(key: string, id: string): Promise<{ readonly folder: string; readonly type: string }> {
    const folder = join(this.#folder, 'uploads', id);
    try {
      if (!/^[0-9a-f-]{36}$/.test(id)) throw new S3Error(404, 'NoSuchUpload');
      const upload: { key: string; type: string } = JSON.parse(
        await readFile(join(folder, 'upload.json'), 'utf8'),
      );
      if (upload.key === key) return { folder, type: upload.type };
    } catch {
      // Reported below.
    }
    throw new S3Error(404, 'NoSuchUpload');
  }

  async #receive({ stream, sha256 }: Body) {
    const file = join(this.#folder, 'partial', randomUUID());
    const hashes = { md5: createHash('md5'), sha256: createHash('sha256') };
    let size = 0;
    const measure = new Transform({
      transform(chunk: Buffer, _encoding, done) {
        size += chunk.length;
        hashes.md5.update(chunk);
        hashes.sha256.update(chunk);
        done(null, chunk);
      },
    });
    try {
      await pipeline(stream, measure, createWriteStream(file));
      const actual = hashes.sha256.digest('base64');
      if (sha256.some((wanted) => wanted !== actual)) throw new S3Error(400, 'BadDigest');
      return { file, size, md5: hashes.md5.digest('hex'), sha256: actual };
    } catch (error) {
      await rm(file, { force: true });
      throw error;
    }
  }

  async #replace(object: StoredObject, file: string): Promise<void> {
    await rename(file, this.#path(object.key));
    await writeFile(`${this.#path(object.key)}.new`, JSON.stringify(object));
    await rename(`${this.#path(object.key)}.new`, `${this.#path(object.key)}.json`);
  }

  #path(key: string): string {
    return join(this.#folder, 'objects', createHash('sha256').update(key).digest('hex'));
  }
}

async function* concat(files: readonly string[]): AsyncGenerator<Buffer> {
  for (const file of files) yield* createReadStream(file);
}

function toComposite(parts: readonly StoredPart[]): { readonly etag: string; readonly sha256: string } {
  const md5 = createHash('md5');
  const sha256 = createHash('sha256');
  for (const part of parts) {
    md5.update(Buffer.from(part.etag.replaceAll('"', ''), 'hex'));
    sha256.update(Buffer.from(part.sha256, 'base64'));
  }
  return {
    etag: `"${md5.digest('hex')}-${parts.length}"`,
    sha256: `${sha256.digest('base64')}-${parts.length}`,
  };
}
