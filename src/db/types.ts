import postgres from 'postgres';

/**
 * Types the driver is told of. It could ask the database for array types on every new connection, but a
 * connection lost in that moment is an error nobody can catch, and ends the process.
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
};

export type Types = { bigint: bigint; bigintArray: bigint[]; byteaArray: Buffer<ArrayBuffer>[] };
