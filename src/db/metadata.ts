import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import { errors } from '../rpc/errors.ts';

const MAX_BYTES = 8_192;
const MAX_DEPTH = 32;

/** Validates JSON of a client in field `field`. Throws for values that are too large or that jsonb cannot store. */
export function toMetadata(field: string, metadata: JsonObject | undefined): JsonObject | undefined {
  toMetadataJson(field, metadata);
  return metadata;
}

/** The same as text for a column; null when the request has none. */
export function toMetadataJson(field: string, metadata: JsonObject | undefined): string | null {
  if (metadata === undefined) return null;
  const problem = findProblem(metadata, MAX_DEPTH);
  if (problem !== undefined) throw errors.fieldInvalid(field, problem);
  const json = JSON.stringify(metadata);
  if (Buffer.byteLength(json) > MAX_BYTES) throw errors.fieldInvalid(field, 'must be at most 8 KB as JSON');
  return json;
}

/** Parses a jsonb column that was selected as text, because the driver renames keys inside jsonb. */
export function fromMetadataJson(json: string | null): JsonObject | undefined {
  if (json === null) return undefined;
  const metadata: JsonObject = JSON.parse(json);
  return metadata;
}

function findProblem(value: JsonValue, depth: number): string | undefined {
  switch (typeof value) {
    case 'number':
      return Number.isFinite(value) ? undefined : 'contains a number that is not finite';
    case 'string':
      return isStorable(value) ? undefined : 'contains a character that cannot be stored';
    case 'object':
      return value === null ? undefined : findProblemWithin(value, depth);
    default:
      return undefined;
  }
}

function findProblemWithin(value: JsonObject | JsonValue[], depth: number): string | undefined {
  if (depth === 0) return `is nested more than ${MAX_DEPTH} deep`;
  for (const [key, item] of Object.entries(value)) {
    const problem = findProblem(key, depth) ?? findProblem(item, depth - 1);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

// PostgreSQL stores neither U+0000 nor lone surrogates.
function isStorable(text: string): boolean {
  return !text.includes('\0') && text.isWellFormed();
}
