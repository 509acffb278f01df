/** Compares ids, for sorting. */
export function ascending(a: bigint, b: bigint): number {
  return a < b ? -1 : Number(a > b);
}
