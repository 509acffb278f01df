import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { StreamTenantEventsResponseSchema } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { Frame } from '../../rpc/frame.ts';
import { isEncrypted, withholdContent } from '../log/encrypted.ts';
import { toTenantEventFrame } from '../log/wire.ts';
import { type Position, toCursor } from './cursor.ts';
import type { TenantStreamRow } from './sql.ts';

/** Consecutive events of the log of all tenants, encoded for tenant streams. */
export type TenantStreamPage = {
  readonly frames: readonly Frame[];
  /** Position after which the next page begins. */
  readonly end: Position;
  /** Whether the log already contains more. */
  readonly more: boolean;
  /** Reason why events before `end` are lost; the page is then empty. */
  readonly lost: 'EXPIRED' | 'HISTORY_CHANGED' | undefined;
  /** Time for which an older transaction has delayed a committed event. */
  readonly heldMs: number;
};

export function toPage(rows: readonly TenantStreamRow[]): TenantStreamPage {
  const last = rows.at(-1);
  if (last === undefined) throw new Error('read_tenant_events() did not return the position it reached');
  const { epoch, xid, id } = last;
  const lost = last.lost ?? undefined;
  return {
    frames: lost === undefined ? rows.flatMap((row) => toEventFrames(row, epoch)) : [],
    end: { epoch, xid, id },
    more: last.heldMs === null,
    lost,
    heldMs: Number(last.heldMs ?? 0n),
  };
}

/** A message of a tenant stream other than an event. */
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
  if (payload === null) return [];
  const sent = isEncrypted(payload) ? withholdContent(payload) : payload;
  return [toTenantEventFrame(toCursor({ epoch, xid, id }), tenantId ?? 0n, sent)];
}
