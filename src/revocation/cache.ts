import { randomUUID } from 'node:crypto';
import type { RedisClient } from '../redis/client.ts';
import { callScript, loadScript } from '../redis/script.ts';
import type { Signer } from '../rpc/signer.ts';

const addRevocations = loadScript(import.meta.dirname, 'add-revocations');

// The hash tag puts both keys on one node of a cluster.
const LIST = 'discuss:{revocations}';
const VERSION = `${LIST}:version`;

/** Times are epoch ms. From `expireTime` on, no token that the revocation concerns is valid. */
export type Revocation = { readonly revokeTime: number; readonly expireTime: number };

export type RevocationCache = ReturnType<typeof createRevocationCache>;

/** The list of revocations in Redis. Entries are signed, so that access to Redis is not enough to revoke access. */
export function createRevocationCache(redis: RedisClient, signer: Signer, limit: number) {
  return {
    /** Adds entries and removes expired ones; false when the list is full. */
    async add(
      entries: Iterable<[string, Revocation]>,
      expired: readonly string[],
      ms: number,
    ): Promise<boolean> {
      const fields = [...entries].flatMap(([subject, revocation]) => [
        subject,
        toValue(signer, subject, revocation),
      ]);
      const values = [randomUUID(), limit, ms, expired.length, ...expired, ...fields];
      const reply = await callScript(redis, addRevocations, [LIST, VERSION], ...values);
      return reply.number('full') === 0;
    },

    /** The list, if its version is not the given one. */
    async read(
      knownVersion: string | undefined,
    ): Promise<{ version: string; entries: Map<string, Revocation> } | undefined> {
      const version = (await redis.get(VERSION)) ?? '';
      if (version === knownVersion) return undefined;
      if ((await redis.hlen(LIST)) > limit) throw new Error('the list of revocations exceeds its limit');
      const entries = new Map<string, Revocation>();
      for (const [subject, value] of Object.entries(await redis.hgetall(LIST))) {
        const revocation = fromValue(signer, subject, value);
        if (revocation !== undefined) entries.set(subject, revocation);
      }
      return { version, entries };
    },
  };
}

function toValue(signer: Signer, subject: string, { revokeTime, expireTime }: Revocation): string {
  return signer.sign(Buffer.from(`${revokeTime} ${expireTime}`), Buffer.from(subject)).toString('base64');
}

function fromValue(signer: Signer, subject: string, value: string): Revocation | undefined {
  const text = signer.verify(Buffer.from(value, 'base64'), Buffer.from(subject))?.toString();
  const [revokeTime, expireTime] = (text ?? '').split(' ').map(Number);
  return revokeTime === undefined || expireTime === undefined ? undefined : { revokeTime, expireTime };
}
