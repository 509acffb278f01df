import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import type { Relay } from '../event/relay.ts';
import type { Broadcast } from '../event/subscribe/broadcast.ts';
import type { RedisClient } from '../redis/client.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { createTypingCache, type TypingCache } from './typing-cache.ts';

/** Who types where. Lives in Redis alone and matters to nobody when that is away. */
export class Typing {
  readonly #cache: TypingCache;
  readonly #broadcast: Broadcast;
  readonly #relay: Relay;
  readonly #metrics: Metrics;
  readonly #log: Logger;

  constructor(parts: {
    config: Config;
    redis: RedisClient;
    broadcast: Broadcast;
    relay: Relay;
    metrics: Metrics;
    log: Logger;
  }) {
    this.#cache = createTypingCache(parts.redis, parts.config.typing);
    this.#broadcast = parts.broadcast;
    this.#relay = parts.relay;
    this.#metrics = parts.metrics;
    this.#log = parts.log.child({ part: 'typing' });
  }

  /** Shows a member typing; until when, epoch ms, or undefined when it cannot be shown. */
  async start(channelId: bigint, userId: bigint): Promise<number | undefined> {
    return this.#change(channelId, userId, true);
  }

  async stop(channelId: bigint, userId: bigint): Promise<void> {
    await this.#change(channelId, userId, false);
  }

  /**
   * A member has sent a message, which tells everybody that the typing is over; Redis learns it in the background.
   * Costs nothing where the member was not typing.
   */
  sent(channelId: bigint, userId: bigint): void {
    if (!this.#broadcast.isTyping(channelId, userId, Date.now())) return;
    this.#broadcast.forgetTyping(channelId, userId);
    this.#cache
      .change(channelId, userId, false)
      .catch((error) => this.#log.debug({ err: error }, 'typing ends by its time'));
  }

  async #change(channelId: bigint, userId: bigint, starts: boolean): Promise<number | undefined> {
    try {
      const { until, isTold } = await this.#cache.change(channelId, userId, starts);
      if (isTold) {
        this.#relay.typing({ channelId, userId, until });
        this.#metrics.typingNews.inc();
      }
      return until;
    } catch (error) {
      this.#metrics.presenceFailures.inc();
      this.#log.debug({ err: error }, 'typing was not noted');
      return undefined;
    }
  }
}
