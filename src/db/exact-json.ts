/**
 * Reads JSON that our own statements wrote, whose numbers all are ids or counts: they become bigints, exact however
 * large.
 */
export function parseExactly<T>(json: string): T {
  return JSON.parse(json, (_key, value: unknown, context?: { source?: string }) =>
    typeof value === 'number' ? BigInt(context?.source ?? value) : value,
  );
}
