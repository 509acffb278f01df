import { createSecretKey, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';

export type Env = Readonly<Record<string, string | undefined>>;

/** An environment variable, as the README's table shows it. */
export type Setting = { readonly name: string; readonly meaning: string; readonly default: string };

/** Paths of PEM files. */
export type TlsFiles = {
  readonly cert: string;
  readonly key: string;
  /** Authorities, one of which must have signed the certificate of each client. */
  readonly clientCa: string | undefined;
};

/** A key that its name identifies. */
export type NamedKey = { readonly id: string; readonly key: KeyObject };

// Maximum of an int32 in the contract, and of a timer's milliseconds: a longer one would end at once.
const MAX_COUNT = 2_147_483_647;

/**
 * Reads values of the environment. Each also has the form NAME_FILE, the path of a file that contains the value, as
 * orchestrators mount secrets.
 */
export class Reader {
  /** One line for each value that is missing or malformed. */
  readonly problems: string[] = [];
  /** Those that were read, in this order. */
  readonly settings: Setting[] = [];
  readonly #env: Env;

  constructor(env: Env) {
    this.#env = env;
  }

  /** `shown`: the default in the README, where it is not a fixed one. */
  text(name: string, meaning: string, fallback?: string, shown = fallback ?? 'required'): string {
    const value = this.#raw(name, meaning, shown) ?? fallback;
    if (value === undefined) this.#require(name);
    return value ?? '';
  }

  /** Undefined if it is not set. */
  optional(name: string, meaning: string, shown = 'none'): string | undefined {
    return this.#raw(name, meaning, shown);
  }

  /** Paths of a certificate and its key, and optionally of the authorities of client certificates; undefined if not set. */
  tls(prefix: string, meaning: { cert: string; key: string; clientCa?: string }): TlsFiles | undefined {
    const cert = this.#raw(`${prefix}_CERT`, meaning.cert, 'none');
    const key = this.#raw(`${prefix}_KEY`, meaning.key, 'none');
    const clientCa =
      meaning.clientCa === undefined ? undefined : this.#raw(`${prefix}_CLIENT_CA`, meaning.clientCa, 'none');
    if (cert !== undefined && key !== undefined) return { cert, key, clientCa };
    if (cert !== undefined || key !== undefined || clientCa !== undefined)
      this.problems.push(`${prefix}_CERT and ${prefix}_KEY must both be set`);
    return undefined;
  }

  count(name: string, meaning: string, fallback: number, least = 0, most = MAX_COUNT): number {
    const value = this.#raw(name, meaning, `${fallback}`);
    if (value === undefined) return fallback;
    const parsed = Number(value);
    if (!Number.isSafeInteger(parsed) || parsed < least || parsed > most)
      this.problems.push(`${name} must be an integer from ${least} to ${most}`);
    return parsed;
  }

  choice(name: string, meaning: string, choices: readonly string[], fallback: string): string {
    const value = this.#raw(name, meaning, fallback) ?? fallback;
    if (!choices.includes(value)) this.problems.push(`${name} must be one of ${choices.join(', ')}`);
    return value;
  }

  list(name: string, meaning: string, fallback: readonly string[]): readonly string[] {
    const items = this.#raw(name, meaning, fallback.join(',') || 'none')
      ?.split(',')
      .map((item) => item.trim());
    return items?.filter((item) => item !== '') ?? fallback;
  }

  urls(name: string, meaning: string, protocols: readonly string[]): readonly URL[] {
    const urls = this.#requiredList(name, meaning).map((text) => URL.parse(text));
    const good = urls.filter((url) => url !== null && protocols.includes(url.protocol));
    if (good.length < urls.length)
      this.problems.push(`${name} must be ${protocols.join('// or ')}//host:port`);
    return good.filter((url) => url !== null);
  }

  /** Over http a third party could replace the keys: only this machine is trusted. */
  keySet(name: string, meaning: string): string {
    const value = this.#required(name, meaning);
    const url = URL.parse(value);
    if (value !== '' && url?.protocol !== 'file:' && !isTrusted(url))
      this.problems.push(`${name} must be https://…, file:///… or http://localhost`);
    return value;
  }

  /** Of another service; undefined if it is not set. Over http a third party could read its token and respond instead. */
  service(name: string, meaning: string): string | undefined {
    const value = this.#raw(name, meaning, 'none');
    if (value !== undefined && !isTrusted(URL.parse(value)))
      this.problems.push(`${name} must be https://… or http://localhost`);
    return value;
  }

  /** Base64 of 32 bytes or more each. */
  keys(name: string, meaning: string): readonly Buffer[] {
    const keys = this.#requiredList(name, meaning).map((text) => Buffer.from(text, 'base64'));
    if (keys.some((key) => key.length < 32))
      this.problems.push(`${name} must be base64 of 32 bytes or more each`);
    return keys;
  }

  /** `name=key,…`, each key base64 of 32 bytes; none if it is not set. As objects that no log and no JSON shows. */
  namedKeys(name: string, meaning: string): readonly NamedKey[] {
    const items = this.#raw(name, meaning, 'none')?.split(',') ?? [];
    const keys = items.map((item) => {
      const [, id = '', text = ''] = /^\s*([\w.-]{1,64})=([A-Za-z0-9+/]{43}=)\s*$/.exec(item) ?? [];
      return { id, bytes: Buffer.from(text, 'base64') };
    });
    const isUnique = new Set(keys.map(({ id }) => id)).size === keys.length;
    if (!isUnique || keys.some(({ bytes }) => bytes.length !== 32)) {
      this.problems.push(
        `${name} must be name=base64 of 32 bytes, separated by commas, with different names`,
      );
      return [];
    }
    return keys.map(({ id, bytes }) => ({ id, key: createSecretKey(bytes) }));
  }

  flag(name: string, meaning: string, fallback: boolean): boolean {
    const value = this.#raw(name, meaning, `${fallback}`);
    if (value !== undefined && value !== 'true' && value !== 'false')
      this.problems.push(`${name} must be true or false`);
    return value === undefined ? fallback : value === 'true';
  }

  #required(name: string, meaning: string): string {
    const value = this.#raw(name, meaning, 'required');
    if (value === undefined) this.#require(name);
    return value ?? '';
  }

  #requiredList(name: string, meaning: string): readonly string[] {
    const value = this.#required(name, meaning);
    return value === '' ? [] : value.split(',').map((item) => item.trim());
  }

  #require(name: string): void {
    this.problems.push(`${name} is required`);
  }

  #raw(name: string, meaning: string, shown: string): string | undefined {
    if (this.settings.every((setting) => setting.name !== name))
      this.settings.push({ name, meaning, default: shown });
    const file = this.#env[`${name}_FILE`];
    if (file === undefined || file === '') return this.#env[name] === '' ? undefined : this.#env[name];
    try {
      return readFileSync(file, 'utf8').trim();
    } catch (error) {
      this.problems.push(
        `${name}_FILE cannot be read: ${error instanceof Error ? error.message : 'unknown'}`,
      );
      return undefined;
    }
  }
}

function isTrusted(url: URL | null): boolean {
  if (url?.protocol === 'https:') return true;
  return url?.protocol === 'http:' && /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(url.hostname);
}
