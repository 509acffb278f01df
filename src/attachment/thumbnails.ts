import { type ChildProcess, fork } from 'node:child_process';

/** Images are WebP without metadata. Width and height are those of the original, after its orientation is applied. */
export type Thumbnail = {
  readonly width: number;
  readonly height: number;
  readonly thumbnail: Uint8Array;
  readonly preview: Uint8Array;
};

export type ThumbnailRequest = { readonly id: number; readonly image: Uint8Array };
type Reply = { readonly id: number; readonly thumbnail: Thumbnail | null };

const TIMEOUT_MS = 20_000;

/** Creates thumbnails in a process of its own, one after another. The process starts with the first image. */
export class Thumbnails {
  #child: ChildProcess | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #count = 0;

  /** Undefined for an image that cannot be decoded, or that is larger than the decoder may open. */
  create(image: Uint8Array): Promise<Thumbnail | undefined> {
    const next = this.#last.then(() => this.#request(image));
    this.#last = next;
    return next;
  }

  close(): void {
    this.#child?.kill('SIGKILL');
    this.#child = undefined;
  }

  #request(image: Uint8Array): Promise<Thumbnail | undefined> {
    const child = this.#open();
    const id = ++this.#count;
    return new Promise((done) => {
      const settle = (thumbnail: Thumbnail | undefined) => {
        clearTimeout(timer);
        child.off('message', onMessage).off('exit', onExit);
        done(thumbnail);
      };
      const onMessage = (reply: Reply) => {
        if (reply.id === id) settle(reply.thumbnail ?? undefined);
      };
      const onExit = () => settle(undefined);
      const timer = setTimeout(() => child.kill('SIGKILL'), TIMEOUT_MS);
      child.on('message', onMessage).once('exit', onExit);
      child.send({ id, image }, (error) => {
        if (error !== null) child.kill('SIGKILL');
      });
    });
  }

  #open(): ChildProcess {
    if (this.#child !== undefined) return this.#child;
    // Without the environment, which contains secrets that a decoder must not read.
    const child = fork(new URL('./thumbnail-process.ts', import.meta.url), [], {
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      execArgv: [],
      env: {},
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
