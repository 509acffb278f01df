import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RedisClient } from './client.ts';

export type Script = { readonly name: string; readonly lua: string; readonly sha1: string };

/** Loads `name`.lua from a folder, which is `import.meta.dirname` of the module that uses the script. */
export function loadScript(folder: string, name: string): Script {
  const lua = readFileSync(join(folder, `${name}.lua`), 'utf8');
  return { name, lua, sha1: createHash('sha1').update(lua).digest('hex') };
}

/** Runs a script, in a cluster on the node that its keys belong to: all of them must have one hash tag. */
export async function callScript(
  redis: RedisClient,
  script: Script,
  keys: readonly string[],
  ...values: readonly (string | number)[]
): Promise<ScriptReply> {
  const args = [...keys, ...values];
  try {
    return new ScriptReply(script, await redis.evalsha(script.sha1, keys.length, ...args));
  } catch (error) {
    // A server that was restarted, and a node of a cluster that is new to these keys, do not know the script yet.
    if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error;
    return new ScriptReply(script, await redis.eval(script.lua, keys.length, ...args));
  }
}

/** What a script returned: names and values by turns, as in `return { 'count', 3, 'users', { '1', '2' } }`. */
export class ScriptReply {
  readonly #script: string;
  readonly #values: readonly unknown[];

  constructor({ name }: Script, values: unknown) {
    this.#script = name;
    this.#values = Array.isArray(values) ? values : [];
  }

  has(name: string): boolean {
    return this.#find(name) !== undefined;
  }

  text(name: string): string {
    const value = this.#find(name);
    if (typeof value === 'string') return value;
    if (typeof value === 'number') return `${value}`;
    throw new Error(`${this.#script}.lua returned no ${name}`);
  }

  number(name: string): number {
    return Number(this.text(name));
  }

  texts(name: string): string[] {
    const value = this.#find(name);
    if (!Array.isArray(value)) throw new Error(`${this.#script}.lua returned no list ${name}`);
    return value.map(String);
  }

  // Replies have a few fields: searching costs less than a map.
  #find(name: string): unknown {
    for (let at = 0; at < this.#values.length; at += 2)
      if (this.#values[at] === name) return this.#values[at + 1];
    return undefined;
  }
}
