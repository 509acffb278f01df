import { delayMs, isTemporary, pause } from './retry.ts';
import type { Store } from './store.ts';

/** Reads a channel whose events were lost, and loads it into the store. */
export type ReadChannel = (channelId: string, signal: AbortSignal) => Promise<void>;

/** Reads the channels of a store whose events were lost, each by one call at a time. */
export class OutdatedChannels {
  readonly #store: Store;
  readonly #read: ReadChannel;
  readonly #signal: AbortSignal;
  readonly #reading = new Map<string, Promise<void>>();

  constructor(store: Store, read: ReadChannel, signal: AbortSignal) {
    this.#store = store;
    this.#read = read;
    this.#signal = signal;
  }

  readAll(): void {
    for (const channelId of this.#store.outdated) {
      if (this.#reading.has(channelId)) continue;
      const reading = this.#readOne(channelId).finally(() => this.#reading.delete(channelId));
      this.#reading.set(channelId, reading);
    }
  }

  /** Resolves when no channel is being read. */
  async settled(): Promise<void> {
    await Promise.all(this.#reading.values());
  }

  async #readOne(channelId: string): Promise<void> {
    for (let attempt = 0; !this.#signal.aborted; attempt += 1) {
      try {
        return await this.#read(channelId, this.#signal);
      } catch (error) {
        if (!isTemporary(error)) return;
        await pause(delayMs(error, attempt), this.#signal);
      }
    }
  }
}
