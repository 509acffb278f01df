import { type Config, toConfig } from '../../src/config.ts';

/** The configuration for an environment; fails on a variable that the service does not read. */
export function testConfig(env: Readonly<Record<string, string>>): Config {
  const unread = new Set(Object.keys(env));
  const config = toConfig(
    new Proxy(env, {
      get(target, name) {
        if (typeof name === 'symbol') return undefined;
        unread.delete(name);
        return target[name];
      },
    }),
  );
  if (unread.size > 0) throw new Error(`not a setting of the service: ${[...unread].join(', ')}`);
  return config;
}
