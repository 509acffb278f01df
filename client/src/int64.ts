// int64 fields, such as ids and `seq`, are decimal strings in JSON, and absent if they are 0. None of the API is negative or
// has leading zeros.

/** Sorts like the numbers: the longer one is greater, and those of one length are in the order of their text. */
export function compareInt64(a = '0', b = '0'): number {
  if (a.length !== b.length) return a.length - b.length;
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

export function nextInt64(value: string): string {
  return `${BigInt(value) + 1n}`;
}
