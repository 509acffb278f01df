import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { StreamTenantEventsResponseSchema } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { Frame } from '../../rpc/frame.ts';
import { type Position, toCursor } from './cursor.ts';
import type { TenantStreamRow } from './sql.ts';

/** A stretch of the log of all tenants, encoded for feeds. */
export type TenantStreamPage = {
  readonly frames: readonly Frame[];
  /** Where to read on. */
  readonly end: Position;
  /** Whether there is more to read at once. */
  readonly more: boolean;
  /** Why events between the place read from and `end` are lost; the page is then empty. */
  readonly lost: 'EXPIRED' | 'UNKNOWN' | undefined;
  /** For how long a committed event has been waiting for an older transaction to end. */
  readonly heldMs: number;
};

const CURSOR = 1;
const EVENT = 2;
const TENANT_ID = 1;
const TENANT_EVENT = 2;

export function toPage(rows: readonly TenantStreamRow[]): TenantStreamPage {
  const last = rows.at(-1);
  if (last === undefined) throw new Error('read_tenant_events() did not say how far it read');
  const { epoch, xid, id } = last;
  const lost = last.lost ?? undefined;
  return {
    frames: lost === undefined ? rows.flatMap((row) => toEventFrames(row, epoch)) : [],
    end: { epoch, xid, id },
    more: lost !== undefined || id > 0n,
    lost,
    heldMs: Number(last.heldMs ?? 0n),
  };
}

/** Any message of a feed but an event. */
export function toTenantStreamFrame(
  at: Position,
  payload: MessageInitShape<typeof StreamTenantEventsResponseSchema>['payload'],
): Frame {
  const response = create(StreamTenantEventsResponseSchema, {
    cursor: toCursor(at),
    payload: payload ?? { case: undefined },
  });
  return new Frame(
    StreamTenantEventsResponseSchema,
    Buffer.from(toBinary(StreamTenantEventsResponseSchema, response)),
  );
}

// The event's bytes go out as they are in the log.
function toEventFrames({ tenantId, xid, id, payload }: TenantStreamRow, epoch: bigint): Frame[] {
  if (payload === null) return [];
  const bytes = new BinaryWriter()
    .tag(CURSOR, WireType.LengthDelimited)
    .string(toCursor({ epoch, xid, id }))
    .tag(EVENT, WireType.LengthDelimited)
    .fork()
    .tag(TENANT_ID, WireType.Varint)
    .int64(tenantId ?? 0n)
    .tag(TENANT_EVENT, WireType.LengthDelimited)
    .bytes(payload)
    .join()
    .finish();
  return [
    new Frame(StreamTenantEventsResponseSchema, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)),
  ];
}
