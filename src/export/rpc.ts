import { create, type DescMessage, type MessageShape, toBinary } from '@bufbuild/protobuf';
import {
  type AdminService,
  ExportChannelResponseSchema,
  type ExportedFile,
  ExportUserResponseSchema,
} from '#gen/serp/discuss/v1/admin_service_pb.ts';
import type { Deps } from '../deps.ts';
import type { Call, Caller, Handlers, Sink } from '../rpc/call.ts';
import { drained } from '../rpc/drained.ts';
import { errors } from '../rpc/errors.ts';
import { Frame } from '../rpc/frame.ts';
import { fromCursor, type Place, toCursor } from './cursor.ts';
import { type ReadPage, readChannel, readUser } from './read.ts';
import type { ExportRow } from './sql.ts';
import { toFiles } from './view.ts';

export type ExportHandlers = Pick<Handlers<typeof AdminService>, 'exportChannel' | 'exportUser'>;

const ROLE = 'discuss.export';
// Of lines; the last one may exceed it by its own size.
const RESPONSE_BYTES = 524_288;

export function exportRoutes({ db }: Deps): ExportHandlers {
  return {
    async exportChannel({ tenantId, channelId, cursor }, call, sink) {
      requireExporter(call.caller);
      const subject = `c${channelId}`;
      const read = readChannel(db, call, tenantId, channelId);
      // The tenant has the channel, whatever the cursor is.
      if (cursor !== '') await read(fromCursor(subject, ''));
      const encode = (part: Part) =>
        toFrame(ExportChannelResponseSchema, create(ExportChannelResponseSchema, part));
      await serve({ subject, read, encode, call, sink }, fromCursor(subject, cursor));
    },

    async exportUser({ tenantId, userId, cursor }, call, sink) {
      requireExporter(call.caller);
      const subject = `u${userId}`;
      const read = readUser(db, call, tenantId, userId);
      const encode = (part: Part) =>
        toFrame(ExportUserResponseSchema, create(ExportUserResponseSchema, part));
      await serve({ subject, read, encode, call, sink }, fromCursor(subject, cursor));
    },
  };
}

// Operators do not read content otherwise.
function requireExporter({ roles }: Caller): void {
  if (!roles.has(ROLE)) throw errors.callerNotAllowed(`requires the role ${ROLE}`);
}

type Part = { readonly lines: string; readonly files: ExportedFile[]; readonly cursor: string };

type Export = {
  readonly subject: string;
  readonly read: ReadPage;
  readonly encode: (part: Part) => Frame;
  readonly call: Call;
  readonly sink: Sink;
};

async function serve({ subject, read, encode, call, sink }: Export, start: Place): Promise<void> {
  for (let at: Place | undefined = start; at !== undefined; ) {
    call.signal.throwIfAborted();
    const place: Place = at;
    const { rows, next } = await read(place);
    for (const part of toParts(rows)) {
      const last = part.at(-1);
      if (last === undefined) continue;
      const cursor = toCursor(subject, { ...place, key: last.key, part: last.part });
      const isSectionDone = last === rows.at(-1) && next !== undefined && next.section !== place.section;
      const after = isSectionDone ? toCursor(subject, next) : cursor;
      const lines = part.flatMap(({ line }) => (line === null ? [] : [`${line}\n`])).join('');
      if (lines !== '') sink.write(encode({ lines, files: part.flatMap(toFiles), cursor: after }));
      await drained(sink, call.signal);
    }
    at = next;
  }
}

/** Splits rows into responses by their size. */
function toParts(rows: readonly ExportRow[]): ExportRow[][] {
  const parts: ExportRow[][] = [];
  let bytes = RESPONSE_BYTES;
  for (const row of rows) {
    if (bytes >= RESPONSE_BYTES) {
      parts.push([]);
      bytes = 0;
    }
    parts.at(-1)?.push(row);
    bytes += Buffer.byteLength(row.line ?? '') + Buffer.byteLength(row.files ?? '');
  }
  return parts;
}

function toFrame<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): Frame {
  return new Frame(schema, Buffer.from(toBinary(schema, message)));
}
