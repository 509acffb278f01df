const MARK = 'sent at ';
const DIGITS = 20;

/** Text that holds the current time of the clock that all processes of a machine share. */
export function timestampedText(): string {
  return `${MARK}${process.hrtime.bigint().toString().padStart(DIGITS, '0')}`;
}

/** The time in a timestamped text within these bytes, ns; undefined without such a text. */
export function readSentTime(bytes: Buffer): bigint | undefined {
  const at = bytes.indexOf(MARK, 0, 'latin1');
  if (at < 0) return undefined;
  return BigInt(bytes.toString('latin1', at + MARK.length, at + MARK.length + DIGITS));
}
