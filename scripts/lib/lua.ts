import { globSync, readFileSync } from 'node:fs';
import luaparse from 'luaparse';

/** What Redis defines for scripts, as far as ours use it. */
const GLOBALS = new Set('KEYS ARGV redis math string table ipairs pairs tonumber tostring unpack'.split(' '));

/** Syntax errors and undefined names in the scripts for Redis, one line for each. */
export function findLuaProblems(): string[] {
  return globSync('src/**/*.lua').flatMap((file) => problemsOf(file, readFileSync(file, 'utf8')));
}

// Lua itself reports an undefined name only when the line is executed.
function problemsOf(file: string, source: string): string[] {
  try {
    const chunk = luaparse.parse(source, { luaVersion: '5.1', scope: true, locations: true });
    const globals: unknown = Reflect.get(chunk, 'globals');
    return (Array.isArray(globals) ? globals : [])
      .filter(({ name }) => !GLOBALS.has(name))
      .map(({ name, loc }) => `${file}:${loc.start.line}: undefined name ${name}`);
  } catch (error) {
    return [`${file}: ${error instanceof Error ? error.message : error}`];
  }
}
