import { type ChildProcess, fork } from 'node:child_process';

/** Images are WebP without metadata. Width and height are those of the original, after its orientation is applied. */
export type Thumbnail = {
  readonly width: number;
  readonly height: number;
  readonly thumbnail: Uint8Array;
  readonly preview: Uint8Array;
};

/** An image, or audio or video, at a URL that permits to read it only. */
export type MediaRequest = {
  readonly id: number;
  readonly kind: 'IMAGE' | 'MEDIA';
  readonly url: string;
  readonly size: number;
  readonly type: string;
};
export type MediaReply = {
  readonly id: number;
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
 * Decodes images, audio and video in a process of its own, one after another. The process starts with the first file. It
 * reads files itself, because their bytes would delay the calls of this one.
 */
export class MediaProcess {
  #child: ChildProcess | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #count = 0;
  readonly #caFile: string | undefined;

  constructor(caFile?: string) {
    this.#caFile = caFile;
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
    this.#child?.kill('SIGKILL');
    this.#child = undefined;
  }

  async #decode(file: Omit<MediaRequest, 'id'>): Promise<MediaReply | undefined> {
    const next = this.#last.then(() => this.#request(file));
    this.#last = next;
    const reply = await next;
    if (reply?.failure !== undefined) throw new MediaUnavailable(reply.failure);
    return reply;
  }

  /** Undefined if the process has ended. */
  #request(file: Omit<MediaRequest, 'id'>): Promise<MediaReply | undefined> {
    const child = this.#open();
    const id = ++this.#count;
    return new Promise((done) => {
      const settle = (reply: MediaReply | undefined) => {
        clearTimeout(timer);
        child.off('message', onMessage).off('exit', onExit);
        done(reply);
      };
      const onMessage = (reply: MediaReply) => {
        if (reply.id === id) settle(reply);
      };
      const onExit = () => settle(undefined);
      const timer = setTimeout(() => child.kill('SIGKILL'), TIMEOUT_MS);
      child.on('message', onMessage).once('exit', onExit);
      child.send({ id, ...file }, (error) => {
        if (error !== null) child.kill('SIGKILL');
      });
    });
  }

  #open(): ChildProcess {
    if (this.#child !== undefined) return this.#child;
    // Without the rest of the environment, which contains secrets that a decoder must not read.
    const child = fork(new URL('./media-process.ts', import.meta.url), [], {
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      execArgv: [],
      env: this.#caFile === undefined ? {} : { NODE_EXTRA_CA_CERTS: this.#caFile },
    });
    child.on('error', () => child.kill('SIGKILL'));
    child.once('exit', () => {
      if (this.#child === child) this.#child = undefined;
    });
    child.unref();
    child.channel?.unref();
    this.#child = child;
    return child;
  }
}
