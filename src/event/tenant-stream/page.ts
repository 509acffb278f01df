import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { StreamTenantEventsResponseSchema } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { Frame } from '../../rpc/frame.ts';
import { toTenantEventFrame } from '../log/wire.ts';
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

function toEventFrames({ tenantId, xid, id, payload }: TenantStreamRow, epoch: bigint): Frame[] {
  return payload === null ? [] : [toTenantEventFrame(toCursor({ epoch, xid, id }), tenantId ?? 0n, payload)];
}
