import { errors } from '../../rpc/errors.ts';

/**
 * A position in the log of all tenants, in the order (xid, id): after an event or, with id 0n, before all events of a
 * transaction. Valid within one epoch, see `event_log_state`.
 */
export type Position = { readonly epoch: bigint; readonly xid: bigint; readonly id: bigint };

const BYTES = 24;

/** Encodes a position as an opaque cursor of 32 characters: three numbers of eight bytes. */
export function toCursor({ epoch, xid, id }: Position): string {
  const bytes = Buffer.allocUnsafe(BYTES);
  bytes.writeBigUInt64BE(epoch, 0);
  bytes.writeBigUInt64BE(xid, 8);
  bytes.writeBigUInt64BE(id, 16);
  return bytes.toString('base64url');
}

/** Decodes a cursor; undefined when it is empty. Throws INVALID_ARGUMENT when the text is not a cursor. */
export function fromCursor(cursor: string): Position | undefined {
  if (cursor === '') return undefined;
  const bytes = Buffer.from(cursor, 'base64url');
  const [epoch, xid, id] = [0, 8, 16].map((at) => (bytes.length === BYTES ? bytes.readBigInt64BE(at) : -1n));
  const isCanonical = bytes.toString('base64url') === cursor;
  if (
    !isCanonical ||
    epoch === undefined ||
    xid === undefined ||
    id === undefined ||
    epoch < 0n ||
    xid < 0n ||
    id < 0n
  )
    throw errors.fieldInvalid('cursor', 'is not a cursor of this method');
  return { epoch, xid, id };
}
