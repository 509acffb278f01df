import postgres from 'postgres';

/**
 * The types that the driver knows. With `fetch_types` it would query array types on every new connection, but the loss
 * of a connection at that moment is an error that cannot be caught and ends the process.
 */
export const types = {
  bigint: postgres.BigInt,
  bigintArray: {
    to: 1016,
    from: [1016],
    serialize: (values: readonly bigint[]) => `{${values.join(',')}}`,
    parse: (text: string) => (text === '{}' ? [] : text.slice(1, -1).split(',').map(BigInt)),
  },
  byteaArray: {
    to: 1001,
    from: [1001],
    serialize: (values: readonly Buffer[]) =>
      `{${values.map((value) => `"\\\\x${value.toString('hex')}"`).join(',')}}`,
    parse: (text: string) =>
      [...text.matchAll(/\\x([0-9a-f]*)/g)].map(([, hex]) => Buffer.from(hex ?? '', 'hex')),
  },
  textArray: writeOnly(1009, (value) =>
    value === null ? 'null' : `"${`${value}`.replaceAll(/["\\]/g, '\\$&')}"`,
  ),
  uuidArray: writeOnly(2951, String),
  booleanArray: writeOnly(1000, String),
  intArray: writeOnly(1007, String),
};

/** Types of arrays, for `sql.array`. */
export const array = { bigint: 1016, bytea: 1001, text: 1009, uuid: 2951, boolean: 1000, int: 1007 } as const;

export type Types = { bigint: bigint; bigintArray: bigint[]; byteaArray: Buffer<ArrayBuffer>[] };

/** A pool, or a connection within a transaction. */
export type Sql = postgres.ISql<Types>;
export type Pool = postgres.Sql<Types>;

type Element = string | number | boolean | null;

/** The type of an array that is only a parameter. */
function writeOnly(to: number, toText: (value: Element) => string) {
  return {
    to,
    from: [],
    serialize: (values: readonly Element[]) => `{${values.map(toText).join(',')}}`,
    parse: (text: string) => text,
  };
}
