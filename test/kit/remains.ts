import type { App } from './app.ts';

/** The tables and keys of Redis that contain a text, with the number of rows. */
export async function findRemains({ owner, redis }: App, text: string): Promise<Record<string, number>> {
  const found: Record<string, number> = {};
  const tables = await owner<{ name: string }[]>`
    select c.relname as name
    from pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
  `;
  const pattern = `%${text.toLowerCase()}%`;
  const hex = `%${Buffer.from(text).toString('hex')}%`;
  for (const { name } of tables) {
    const [row] = await owner<{ n: number }[]>`
      select count(*)::int as n from ${owner(name)} as t where lower(t::text) like ${pattern} or t::text like ${hex}
    `;
    if (row !== undefined && row.n > 0) found[name] = row.n;
  }
  for (const key of await redis.client.keys('*'))
    if ((await readKey(redis, key)).includes(text)) found[key] = 1;
  return found;
}

async function readKey({ client }: App['redis'], key: string): Promise<string> {
  switch (await client.type(key)) {
    case 'string':
      return (await client.get(key)) ?? '';
    case 'hash':
      return JSON.stringify(await client.hgetall(key));
    case 'list':
      return JSON.stringify(await client.lrange(key, 0, -1));
    case 'set':
      return JSON.stringify(await client.smembers(key));
    case 'zset':
      return JSON.stringify(await client.zrange(key, '0', '-1'));
    default:
      return '';
  }
}
