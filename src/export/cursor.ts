import { errors } from '../rpc/errors.ts';

/** A place in an export: after a line of a section. */
export type Place = {
  readonly section: number;
  /** Of messages of a user: their channel. */
  readonly channelId: bigint;
  readonly key: bigint;
  readonly part: bigint;
};

export const START: Place = { section: 0, channelId: 0n, key: 0n, part: 0n };

/** `subject` is `c1` for a channel and `u1` for a user. */
export function toCursor(subject: string, { section, channelId, key, part }: Place): string {
  return [subject, section, channelId, key, part].join('.');
}

const PATTERN = /^([cu]\d{1,19})\.(\d)\.(\d{1,18})\.(\d{1,18})\.(\d{1,18})$/;

/** The place of a cursor, which grants nothing; empty: the beginning. */
export function fromCursor(subject: string, cursor: string): Place {
  if (cursor === '') return START;
  const [, of, section = '', channelId = '', key = '', part = ''] = PATTERN.exec(cursor) ?? [];
  if (of !== subject) throw errors.fieldInvalid('cursor', 'is not of this export');
  return { section: Number(section), channelId: BigInt(channelId), key: BigInt(key), part: BigInt(part) };
}
