import { WorkerProcess } from './worker-process.ts';

/** Images are WebP without metadata. Width and height are those of the original, after its orientation is applied. */
export type Thumbnail = {
  readonly width: number;
  readonly height: number;
  readonly thumbnail: Uint8Array;
  readonly preview: Uint8Array;
};

/** An image, or audio or video, at a URL that permits to read it only. */
export type MediaRequest = {
  readonly kind: 'IMAGE' | 'MEDIA';
  readonly url: string;
  readonly size: number;
  readonly type: string;
};
export type MediaReply = {
  /** Undefined for an image that cannot be decoded. */
  readonly thumbnail?: Thumbnail | undefined;
  /** Undefined if the file does not state it. */
  readonly durationMs?: number | undefined;
  /** Why the file could not be read. */
  readonly failure?: string | undefined;
};

/** The file could not be read from the store. */
export class MediaUnavailable extends Error {
  override name = 'MediaUnavailable';
}

const TIMEOUT_MS = 40_000;

/**
 * Decodes images, audio and video in a process of its own, one after another. It reads files itself, because their bytes
 * would delay the calls of this process.
 */
export class MediaProcess {
  readonly #worker: WorkerProcess<MediaRequest, MediaReply>;
  #last: Promise<unknown> = Promise.resolve();

  constructor(env: Readonly<Record<string, string>> = {}) {
    this.#worker = new WorkerProcess({ file: new URL('./media-process.ts', import.meta.url), env });
  }

  /** Undefined for an image that cannot be decoded, or that is larger than the decoder may open. */
  async createThumbnail(url: string, size: number): Promise<Thumbnail | undefined> {
    return (await this.#decode({ kind: 'IMAGE', url, size, type: '' }))?.thumbnail;
  }

  /** In ms; undefined if the audio or video does not state it, or if it cannot be decoded. */
  async readDuration(url: string, size: number, type: string): Promise<number | undefined> {
    return (await this.#decode({ kind: 'MEDIA', url, size, type }))?.durationMs;
  }

  close(): void {
    this.#worker.close();
  }

  /** Undefined if the decoder did not survive the file. */
  async #decode(file: MediaRequest): Promise<MediaReply | undefined> {
    const next = this.#last.then(() => this.#worker.request(file, TIMEOUT_MS));
    this.#last = next;
    const reply = await next;
    if (reply?.failure !== undefined) throw new MediaUnavailable(reply.failure);
    return reply;
  }
}
