import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import type { Relay } from '../event/relay.ts';
import type { Broadcast } from '../event/subscribe/broadcast.ts';
import type { RedisClient } from '../redis/client.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { UserKey } from './sql.ts';
import { createTypingCache, type TypingCache } from './typing-cache.ts';

/** Typing indicators. They exist in Redis only, and are not shown while Redis is unavailable. */
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

  /** Shows that a member types; returns when that expires, epoch ms, or undefined when Redis is unavailable. */
  async start(user: UserKey, channelId: bigint): Promise<number | undefined> {
    return this.#change(user, channelId, true);
  }

  async stop(user: UserKey, channelId: bigint): Promise<void> {
    await this.#change(user, channelId, false);
  }

  /**
   * Ends the typing of a member who sent a message. Clients infer that from the message, so that no broadcast is
   * needed; Redis is updated in the background, and only if the member was typing.
   */
  sent(channelId: bigint, userId: bigint): void {
    if (!this.#broadcast.isTyping(channelId, userId, Date.now())) return;
    this.#broadcast.forgetTyping(channelId, userId);
    this.#cache
      .change(channelId, userId, false)
      .catch((error) => this.#log.debug({ err: error }, 'typing was not ended; it expires'));
  }

  async #change(
    { tenantId, userId }: UserKey,
    channelId: bigint,
    starts: boolean,
  ): Promise<number | undefined> {
    try {
      const { expiry, mustBroadcast } = await this.#cache.change(channelId, userId, starts);
      if (mustBroadcast) {
        this.#relay.typing(tenantId, { channelId, userId, until: expiry });
        this.#metrics.typingBroadcasts.inc();
      }
      return expiry;
    } catch (error) {
      this.#metrics.presenceFailures.inc();
      this.#log.debug({ err: error }, 'typing was not stored');
      return undefined;
    }
  }
}
