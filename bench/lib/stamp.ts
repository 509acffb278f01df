const MARK = 'sent at ';
const DIGITS = 20;

/** Text that says when it was made, by the clock that all processes of a machine share. */
export function stampedText(): string {
  return `${MARK}${process.hrtime.bigint().toString().padStart(DIGITS, '0')}`;
}

/** When a stamped text within these bytes was made, ns; undefined when there is none. */
export function readStamp(bytes: Buffer): bigint | undefined {
  const at = bytes.indexOf(MARK, 0, 'latin1');
  if (at < 0) return undefined;
  return BigInt(bytes.toString('latin1', at + MARK.length, at + MARK.length + DIGITS));
}
