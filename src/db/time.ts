import { create } from '@bufbuild/protobuf';
import type { Duration, Timestamp } from '@bufbuild/protobuf/wkt';
import { DurationSchema, TimestampSchema } from '@bufbuild/protobuf/wkt';

/** Time is BIGINT epoch ms in columns and Timestamp on the wire; null is unset. */
export function toTimestamp(ms: bigint): Timestamp;
export function toTimestamp(ms: bigint | null): Timestamp | undefined;
export function toTimestamp(ms: bigint | null): Timestamp | undefined {
  if (ms === null) return undefined;
  return create(TimestampSchema, { seconds: ms / 1000n, nanos: Number(ms % 1000n) * 1_000_000 });
}

export function toDuration(ms: bigint): Duration {
  return create(DurationSchema, { seconds: ms / 1000n, nanos: Number(ms % 1000n) * 1_000_000 });
}

/** The first whole ms at or after a time; undefined when it is unset. */
export function toMs(time: Timestamp | undefined): bigint | undefined {
  if (time === undefined) return undefined;
  return time.seconds * 1000n + BigInt(Math.ceil(time.nanos / 1_000_000));
}
