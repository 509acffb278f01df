import type { Config } from '../config.ts';
import type { RedisClient } from '../redis/client.ts';
import { callScript, loadScript } from '../redis/script.ts';

const changeTyping = loadScript(import.meta.dirname, 'change-typing');

export type TypingCache = ReturnType<typeof createTypingCache>;

export function createTypingCache(redis: RedisClient, { ttlMs, intervalMs }: Config['typing']) {
  return {
    /** Starts or stops typing of a user; `expiry` is epoch ms, or 0 when stopped. */
    async change(channelId: bigint, userId: bigint, starts: boolean) {
      const reply = await callScript(
        redis,
        changeTyping,
        [`typing:${channelId}`, `{typing:${channelId}}:until`],
        `${userId}`,
        ttlMs,
        intervalMs,
        starts ? '1' : '0',
      );
      return { expiry: reply.number('expiry'), mustBroadcast: reply.number('broadcast') === 1 };
    },
  };
}
