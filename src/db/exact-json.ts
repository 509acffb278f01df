/**
 * Parses JSON of our own statements, whose numbers are all ids or counts, as bigints without loss of precision.
 */
export function parseExactly<T>(json: string): T {
  return JSON.parse(json, (_key, value: unknown, context?: { source?: string }) =>
    typeof value === 'number' ? BigInt(context?.source ?? value) : value,
  );
}
