import { readFileSync } from 'node:fs';

export type Env = Readonly<Record<string, string | undefined>>;

/** Paths of PEM files. */
export type TlsFiles = {
  readonly cert: string;
  readonly key: string;
  /** Authorities, one of which must have signed the certificate of each client. */
  readonly clientCa: string | undefined;
};

// Maximum of an int32 in the contract, and of a timer's milliseconds: a longer one would end at once.
const MAX_COUNT = 2_147_483_647;

/** Reads values of the environment, and adds a line to `problems` for each that is missing or malformed. */
export function reader(env: Env, problems: string[]) {
  // NAME_FILE is the path of a file that contains the value, as orchestrators mount secrets.
  function raw(name: string): string | undefined {
    const file = env[`${name}_FILE`];
    if (file === undefined || file === '') return env[name] === '' ? undefined : env[name];
    try {
      return readFileSync(file, 'utf8').trim();
    } catch (error) {
      problems.push(`${name}_FILE cannot be read: ${error instanceof Error ? error.message : 'unknown'}`);
      return undefined;
    }
  }
  return {
    text(name: string, fallback?: string): string {
      const value = raw(name) ?? fallback;
      if (value === undefined) problems.push(`${name} is required`);
      return value ?? '';
    },
    /** Undefined if it is not set. */
    optional(name: string): string | undefined {
      return raw(name);
    },
    /** Paths of a certificate and its key, and optionally of the authorities of client certificates; undefined if not set. */
    tls(prefix: string, clientCaName?: string): TlsFiles | undefined {
      const cert = raw(`${prefix}_CERT`);
      const key = raw(`${prefix}_KEY`);
      const clientCa = clientCaName === undefined ? undefined : raw(clientCaName);
      if (cert !== undefined && key !== undefined) return { cert, key, clientCa };
      if (cert !== undefined || key !== undefined || clientCa !== undefined)
        problems.push(`${prefix}_CERT and ${prefix}_KEY must both be set`);
      return undefined;
    },
    count(name: string, fallback: number, least = 0): number {
      const value = raw(name);
      if (value === undefined) return fallback;
      const parsed = Number(value);
      if (!Number.isSafeInteger(parsed) || parsed < least || parsed > MAX_COUNT)
        problems.push(`${name} must be an integer from ${least} to ${MAX_COUNT}`);
      return parsed;
    },
    choice(name: string, choices: readonly string[], fallback: string): string {
      const value = raw(name) ?? fallback;
      if (!choices.includes(value)) problems.push(`${name} must be one of ${choices.join(', ')}`);
      return value;
    },
    list(name: string, fallback: readonly string[]): readonly string[] {
      const items = raw(name)
        ?.split(',')
        .map((item) => item.trim());
      return items?.filter((item) => item !== '') ?? fallback;
    },
    urls(name: string, protocols: readonly string[]): readonly URL[] {
      const value = raw(name);
      if (value === undefined) problems.push(`${name} is required`);
      const urls = (value?.split(',') ?? []).map((text) => URL.parse(text.trim()));
      const good = urls.filter((url) => url !== null && protocols.includes(url.protocol));
      if (good.length < urls.length) problems.push(`${name} must be ${protocols.join('// or ')}//host:port`);
      return good.filter((url) => url !== null);
    },
    /** Over http a third party could replace the keys: only this machine is trusted. */
    keySet(name: string): string {
      const value = raw(name);
      if (value === undefined) problems.push(`${name} is required`);
      const url = URL.parse(value ?? '');
      if (value !== undefined && url?.protocol !== 'file:' && !isTrusted(url))
        problems.push(`${name} must be https://…, file:///… or http://localhost`);
      return value ?? '';
    },
    /** Of another service; undefined if it is not set. Over http a third party could read its token and respond instead. */
    service(name: string): string | undefined {
      const value = raw(name);
      if (value !== undefined && !isTrusted(URL.parse(value)))
        problems.push(`${name} must be https://… or http://localhost`);
      return value;
    },
    /** Base64 of 32 bytes or more each. */
    keys(name: string): readonly Buffer[] {
      const keys = (raw(name)?.split(',') ?? []).map((text) => Buffer.from(text.trim(), 'base64'));
      if (keys.length === 0) problems.push(`${name} is required`);
      if (keys.some((key) => key.length < 32))
        problems.push(`${name} must be base64 of 32 bytes or more each`);
      return keys;
    },
    flag(name: string, fallback: boolean): boolean {
      const value = raw(name);
      if (value !== undefined && value !== 'true' && value !== 'false')
        problems.push(`${name} must be true or false`);
      return value === undefined ? fallback : value === 'true';
    },
  };
}

function isTrusted(url: URL | null): boolean {
  if (url?.protocol === 'https:') return true;
  return url?.protocol === 'http:' && /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(url.hostname);
}
