import type { Config } from '../config.ts';
import type { RedisClient } from '../redis/client.ts';
import { callScript, loadScript } from '../redis/script.ts';
import {
  type PresenceState,
  type Session,
  type StatusName,
  toPresenceState,
  toStoredStatus,
} from './state.ts';

const changePresence = loadScript(import.meta.dirname, 'change-presence');

export type Change =
  /** A stream of a device opened, is still open, or closed. */
  | { readonly operation: 'open' | 'close'; readonly session: Session; readonly override?: string }
  /** A device without a stream is in use, or a device with a stream has another status. */
  | {
      readonly operation: 'heartbeat';
      readonly session: Session;
      readonly status: StatusName;
      readonly override?: string;
    }
  /** The user set a status override. */
  | { readonly operation: 'override'; readonly override: string }
  /** A device or an override may have expired, or the override was read from the database again. */
  | { readonly operation: 'refresh'; readonly override?: string };

export type Changed = {
  /** `missing`: nothing was changed, because the override must be passed in; `stale`: it should be read again. */
  readonly override: 'current' | 'stale' | 'missing';
  readonly before: StatusName;
  readonly state: PresenceState;
  /** Redis's clock, epoch ms. */
  readonly now: number;
};

/** `isStored`: whether Redis holds data of the user. */
type Read = readonly ({ readonly state: PresenceState; readonly isStored: boolean } | 'failed')[];

export type PresenceCache = ReturnType<typeof createPresenceCache>;

export function createPresenceCache(redis: RedisClient, config: Config['presence']) {
  const limits = [config.deviceTtlMs, config.ttlMs, config.graceMs, config.maxDevices, config.ttlMs];
  return {
    /** One script per change: it also returns the status before, so that the caller that made a difference notifies. */
    async change(tenantId: bigint, userId: bigint, change: Change): Promise<Changed> {
      const session = 'session' in change ? change.session : undefined;
      const reply = await callScript(
        redis,
        changePresence,
        [presenceKey(userId)],
        change.operation,
        `${tenantId}`,
        session?.device ?? '',
        session?.id ?? '',
        session?.kind ?? '',
        'status' in change ? change.status : 'ONLINE',
        change.override ?? '',
        ...limits,
      );
      return {
        override: toOverrideState(reply.text('override')),
        before: toStoredStatus(reply.text('before')),
        state: toPresenceState(reply.text('state')),
        now: reply.number('now'),
      };
    },

    /**
     * Presence of users as others see it, in the order of the ids; `failed` where the node of the cluster that stores
     * them does not respond. A user who left long ago and a user who appears offline must look alike.
     */
    async read(tenantId: bigint, userIds: readonly bigint[]): Promise<Read> {
      const [asOf, ...lines] = await Promise.all([
        findTime(redis),
        ...userIds.map((userId) =>
          redis.hget(presenceKey(userId), `t:${tenantId}`).catch(() => 'failed' as const),
        ),
      ]);
      const now = Number(asOf / 1_000n);
      const absent: PresenceState = { status: 'OFFLINE', nextChange: 0, end: 0, lastSeen: 0, version: asOf };
      return lines.map((line) => {
        if (line === 'failed') return line;
        if (line === null) return { state: absent, isStored: false };
        const state = toPresenceState(line);
        if (state.end > now) return { state, isStored: true };
        if (now - state.lastSeen >= config.ttlMs) return { state: absent, isStored: true };
        const version = state.status === 'OFFLINE' ? state.version : asOf;
        return { state: { ...absent, lastSeen: state.lastSeen, version }, isStored: true };
      });
    },
  };
}

function toOverrideState(text: string): Changed['override'] {
  return text === 'stale' || text === 'missing' ? text : 'current';
}

/** Redis's clock in µs, or this process's clock when the node of a cluster that is asked does not respond. */
async function findTime(redis: RedisClient): Promise<bigint> {
  try {
    const [seconds = 0, micros = 0] = await redis.time();
    return BigInt(seconds) * 1_000_000n + BigInt(micros);
  } catch {
    return BigInt(Date.now()) * 1_000n;
  }
}

function presenceKey(userId: bigint): string {
  return `presence:${userId}`;
}
