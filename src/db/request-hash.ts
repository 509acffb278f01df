import { createHash } from 'node:crypto';
import { type DescMessage, type JsonValue, type MessageShape, toJson } from '@bufbuild/protobuf';

/**
 * Hash of a request without its `request_id`, which tells a retry from another request with the same id.
 * Clients may encode the entries of a map in another order each time, so it is taken of sorted ones.
 */
export function hashRequest<S extends DescMessage>(
  schema: S,
  request: MessageShape<S> & { readonly requestId: string },
): Buffer {
  const json = toJson(schema, { ...request, requestId: '' });
  return createHash('sha256')
    .update(JSON.stringify(sorted(json)))
    .digest();
}

function sorted(value: JsonValue): JsonValue {
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map(sorted);
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, item]) => [key, sorted(item)]));
}
