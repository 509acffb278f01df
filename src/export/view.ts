import { fromJson, type JsonValue } from '@bufbuild/protobuf';
import { type ExportedFile, ExportedFileSchema } from '#gen/serp/discuss/v1/admin_service_pb.ts';
import type { ExportRow } from './sql.ts';

/** The files of a row. */
export function toFiles({ files }: ExportRow): ExportedFile[] {
  if (files === null) return [];
  const parsed: JsonValue[] = JSON.parse(files);
  return parsed.map((file) => fromJson(ExportedFileSchema, file));
}
