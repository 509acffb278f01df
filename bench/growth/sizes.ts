import type { Pool } from '../../src/db/types.ts';

const YEAR = 365_000_000;
// Bytes of a row by the customer's document, and rows a year.
const DOCUMENT = [
  { table: 'messages', bytes: 500, perYear: YEAR },
  { table: 'message_words', bytes: 0, perYear: YEAR },
  { table: 'attachments', bytes: 300, perYear: YEAR / 5 },
  { table: 'activity_feed', bytes: 400, perYear: 2 * YEAR },
  { table: 'channel_members', bytes: 200, perYear: 61_000 },
] as const;

type SizeRow = { readonly name: string; readonly rows: bigint; readonly bytes: bigint };

/** Prints bytes per row of tables and their indexes, beside those of the document, and a projection to its year. */
export async function printSizes(sql: Pool): Promise<void> {
  let total = 0;
  for (const { table, bytes, perYear } of DOCUMENT) {
    const rows = await listSizes(sql, table);
    const perRow = rows.map((row) => ({ name: row.name, bytes: Number(row.bytes) / Number(row.rows) }));
    const sum = perRow.reduce((all, row) => all + row.bytes, 0);
    total += sum * perYear;
    const parts = perRow.map((row) => `${row.name} ${Math.round(row.bytes)}`).join(', ');
    console.error(
      `  ${table}: ${Math.round(sum)} bytes per row (document ${bytes}), ${toGb(sum * perYear)} GB a year: ${parts}`,
    );
  }
  console.error(
    `  ${toGb(total)} GB for 365,000,000 messages, without the log, which has ${Math.round(YEAR / 52 / 1e6)} million messages of a week`,
  );
}

function toGb(bytes: number): number {
  return Math.round(bytes / 1e9);
}

/** The table itself, and each of its indexes, over all partitions. */
async function listSizes(sql: Pool, table: string): Promise<readonly SizeRow[]> {
  return sql<SizeRow[]>`
    with leaves as (
      select coalesce(t.relid, ${table}::regclass) as oid
      from (select ${table}::regclass as root) as r
      left join lateral (select p.relid from pg_partition_tree(r.root) as p where p.isleaf) as t on true
    ),
    total as (
      select greatest(sum(c.reltuples), 1)::bigint as rows from leaves l join pg_class c on c.oid = l.oid
    )
    select 'table' as name, (select rows from total), sum(pg_table_size(l.oid))::bigint as bytes
    from leaves l
    union all
    select
      coalesce(parent.relname, own.relname)::text, (select rows from total), sum(pg_relation_size(i.indexrelid))::bigint
    from leaves l
    join pg_index i on i.indrelid = l.oid
    join pg_class own on own.oid = i.indexrelid
    left join pg_inherits h on h.inhrelid = i.indexrelid
    left join pg_class parent on parent.oid = h.inhparent
    group by 1
    order by 3 desc
  `;
}
