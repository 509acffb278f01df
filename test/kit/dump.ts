import type { App } from './app.ts';
import { monitorRedis } from './redis-monitor.ts';

/** Every row of every table as text; bytes as hexadecimal digits. */
export async function dumpDatabase({ owner }: App): Promise<string> {
  const tables = await owner<{ name: string }[]>`
    select c.oid::regclass::text as name
    from pg_class c
    where c.relkind = 'r'
      and c.relnamespace = 'public'::regnamespace
  `;
  const rows = await Promise.all(
    tables.map(({ name }) => owner.unsafe<{ text: string }[]>(`select t::text as text from ${name} t`)),
  );
  return rows
    .flat()
    .map(({ text }) => text)
    .join('\n');
}

/** Whether a dump contains a text of ASCII characters, as it is or within bytes. */
export function contains(dump: string, text: string): boolean {
  return dump.includes(text) || dump.includes(Buffer.from(text).toString('hex'));
}

/** Everything that a Redis server is sent: what is stored and what is published. Not for a cluster. */
export async function watchRedis(url: string): Promise<{ text(): string; close(): void }> {
  const { hostname: host, port } = new URL(url);
  const received: string[] = [];
  const monitor = await monitorRedis({ host, port: Number(port) }, (line) => received.push(line));
  return { text: () => received.join('\n'), close: () => monitor[Symbol.dispose]() };
}
