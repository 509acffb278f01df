import { accessSettings } from './settings/access.ts';
import { chatSettings } from './settings/chat.ts';
import { edgesSettings } from './settings/edges.ts';
import { filesSettings } from './settings/files.ts';
import { jobsSettings } from './settings/jobs.ts';
import { type Env, Reader, type Setting } from './settings/reader.ts';
import { migrationSettings, storesSettings } from './settings/stores.ts';

/** Every setting of the service, as in the configuration table of the README. */
export type Config = ReturnType<typeof readAll>;

/** The settings of `npm run migrate`. */
export type MigrationConfig = ReturnType<typeof migrationSettings>;

/**
 * Reads and checks the environment; no other code reads it.
 * Throws one error that lists every problem, so that a deployment can be corrected in one step.
 */
export function toConfig(env: Env): Config {
  return checked(env, readAll);
}

export function toMigrationConfig(env: Env): MigrationConfig {
  return checked(env, migrationSettings);
}

/** All settings, for the README. */
export function listSettings(): readonly Setting[] {
  const read = new Reader({});
  readAll(read);
  migrationSettings(read);
  return read.settings;
}

function checked<T>(env: Env, settings: (read: Reader) => T): T {
  const read = new Reader(env);
  const config = settings(read);
  if (read.problems.length > 0) throw new ConfigError(read.problems);
  return config;
}

function readAll(read: Reader) {
  return {
    ...edgesSettings(read),
    ...accessSettings(read),
    ...storesSettings(read),
    ...chatSettings(read),
    ...filesSettings(read),
    ...jobsSettings(read),
  };
}

/** The environment is not a valid configuration; `problems` has one line for each reason. */
export class ConfigError extends Error {
  override name = 'ConfigError';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`configuration:\n${problems.map((problem) => `  ${problem}`).join('\n')}`);
    this.problems = problems;
  }
}
