import { errors } from '../rpc/errors.ts';

/** Makes an opaque token of what a statement saw. It holds no secret and grants nothing. */
export function toSnapshotToken(snapshot: string): string {
  return Buffer.from(snapshot).toString('base64url');
}

/** Reads a token back into the text of a snapshot that PostgreSQL takes. */
export function fromSnapshotToken(token: string): string | undefined {
  if (token === '') return undefined;
  const snapshot = Buffer.from(token, 'base64url').toString();
  if (!isSnapshot(snapshot))
    throw errors.fieldInvalid('snapshot_token', 'is not a token this service gave out');
  return snapshot;
}

// xmin:xmax:running,running,... with the running ones in order from xmin to below xmax.
function isSnapshot(text: string): boolean {
  const found = /^([1-9]\d{0,17}):([1-9]\d{0,17}):((?:[1-9]\d{0,17}(?:,[1-9]\d{0,17})*)?)$/.exec(text);
  if (found === null) return false;
  const [xmin, xmax, running] = [BigInt(found[1] ?? 0), BigInt(found[2] ?? 0), found[3] ?? ''];
  const ids = running === '' ? [] : running.split(',').map(BigInt);
  const inOrder = ids.every((id, index) => id > (ids[index - 1] ?? 0n) && id >= xmin && id < xmax);
  return xmin <= xmax && inOrder;
}
