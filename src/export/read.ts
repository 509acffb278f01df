import { toJson } from '@bufbuild/protobuf';
import { EventSchema } from '#gen/serp/discuss/v1/event_pb.ts';
import type { Database } from '../db/database.ts';
import { toEvent } from '../event/log/wire.ts';
import type { Call } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';
import { type Place, START } from './cursor.ts';
import {
  type ExportRow,
  exportActivities,
  exportChannel,
  exportHeld,
  exportHeldEvents,
  exportMembers,
  exportMemberships,
  exportMessages,
  exportUser,
  findNextChannel,
} from './sql.ts';

const ROWS = 200;
// A message has at most 64 KB.
const MESSAGES = { scan: 50, lines: 50 };
const MESSAGES_OF_USER = { scan: 1_000, lines: 50 };

/** Rows of one section after a place, and where to continue; undefined: the export is complete. */
export type Page = { readonly rows: readonly ExportRow[]; readonly next: Place | undefined };

/** Reads the page after a place. */
export type ReadPage = (after: Place) => Promise<Page>;

export function readChannel(db: Database, call: Call, tenantId: bigint, channelId: bigint): ReadPage {
  return async (after) => {
    if (after.section === 0) {
      const rows = await db.run(call, (sql) => exportChannel(sql, tenantId, channelId));
      if (rows.length === 0) throw errors.channelNotFound(channelId);
      return { rows, next: { ...START, section: 1 } };
    }
    if (after.section === 1) {
      const rows = await db.run(call, (sql) => exportMembers(sql, tenantId, channelId, after.key, ROWS));
      return toPage(rows, after, { ...START, section: 2 });
    }
    if (after.section === 2) {
      const rows = await db.run(call, (sql) =>
        exportMessages(sql, { tenantId, channelId, userId: null }, after, MESSAGES),
      );
      return toPage(rows, after, { ...START, section: 3 });
    }
    return readHeld(db, call, tenantId, channelId, after);
  };
}

async function readHeld(
  db: Database,
  call: Call,
  tenantId: bigint,
  channelId: bigint,
  after: Place,
): Promise<Page> {
  if (after.section === 3) {
    const kept = await db.run(call, (sql) => exportHeld(sql, tenantId, channelId, after.key, MESSAGES.lines));
    return toPage(kept, after, { ...START, section: 4 });
  }
  const events = await db.run(call, (sql) =>
    exportHeldEvents(sql, tenantId, channelId, after.key, MESSAGES.lines),
  );
  const rows = events.map(({ key, payload }) => {
    const event = toJson(EventSchema, toEvent(payload));
    return { key, part: 0n, line: JSON.stringify({ kind: 'heldEvent', seq: `${key}`, event }), files: null };
  });
  return toPage(rows, after, undefined);
}

export function readUser(db: Database, call: Call, tenantId: bigint, userId: bigint): ReadPage {
  return async (after) => {
    switch (after.section) {
      case 0: {
        const rows = await db.run(call, (sql) => exportUser(sql, tenantId, userId));
        return { rows, next: { ...START, section: 1 } };
      }
      case 1: {
        const rows = await db.run(call, (sql) => exportMemberships(sql, tenantId, userId, after.key, ROWS));
        return toPage(rows, after, { ...START, section: 2 });
      }
      case 2: {
        const { channelId } = after;
        const rows =
          channelId === 0n
            ? []
            : await db.run(call, (sql) =>
                exportMessages(sql, { tenantId, channelId, userId }, after, MESSAGES_OF_USER),
              );
        if (rows.length > 0) return toPage(rows, after, undefined);
        const [found] = await db.run(call, (sql) => findNextChannel(sql, tenantId, userId, channelId));
        const next = found === undefined ? { section: 3 } : { section: 2, channelId: found.channelId };
        return { rows: [], next: { ...START, ...next } };
      }
      default: {
        const rows = await db.run(call, (sql) => exportActivities(sql, tenantId, userId, after, ROWS));
        return toPage(rows, after, undefined);
      }
    }
  };
}

function toPage(rows: readonly ExportRow[], after: Place, next: Place | undefined): Page {
  const last = rows.at(-1);
  return { rows, next: last === undefined ? next : { ...after, key: last.key, part: last.part } };
}
