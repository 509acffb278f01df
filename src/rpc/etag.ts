import { hash } from 'node:crypto';
import { errors } from './errors.ts';

const LENGTH = 22;

/** Opaque version of a resource: equal values have equal etags. */
export function etagOf(...values: readonly (string | boolean | bigint | null)[]): string {
  const text = JSON.stringify(values.map((value) => (typeof value === 'bigint' ? `${value}` : value)));
  return hash('sha256', text, 'base64url').slice(0, LENGTH);
}

/**
 * Throws ABORTED if a request has the etag of another version than the one before the change. A retry of a change that
 * was made, after which the version is the same, passes.
 */
export function requireEtag(etag: string, before: string, after?: string): void {
  if (etag !== '' && etag !== before && after !== before) throw errors.etagMismatch(before);
}
