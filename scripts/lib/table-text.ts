import type postgres from 'postgres';

export type TextRow = { text: string };

/** Each table with its indexes, triggers, policies, grants and comments, ordered by name. */
export async function describeTables(sql: postgres.Sql): Promise<TextRow[]> {
  const tables = await sql<{ oid: number; name: string }[]>`
    select c.oid::int as oid, c.relname as name
    from pg_class c
    where c.relnamespace = 'public'::regnamespace
      and c.relkind in ('r', 'p')
      and not c.relispartition
    order by c.relname collate "C"
  `;
  const texts: TextRow[] = [];
  for (const { oid } of tables) {
    const parts = [
      await listColumns(sql, oid),
      await listPartitions(sql, oid),
      await listIndexes(sql, oid),
      await listTriggers(sql, oid),
      await listPolicies(sql, oid),
      await listGrants(sql, oid),
      await listComments(sql, oid),
    ];
    texts.push({ text: parts.flatMap((rows) => rows.map((row) => row.text)).join('\n') });
  }
  return texts;
}

function listColumns(sql: postgres.Sql, table: number): Promise<TextRow[]> {
  return sql<TextRow[]>`
    select format(
      E'create table %s (\n%s\n)%s%s;',
      c.relname,
      string_agg('  ' || l.line, E',\n' order by l.part, l.place, l.line collate "C"),
      ' partition by ' || pg_get_partkeydef(c.oid),
      ' with (' || array_to_string(c.reloptions, ', ') || ')'
    ) as text
    from pg_class c
    cross join lateral (
      select
        1 as part,
        a.attnum as place,
        concat_ws(' ',
          quote_ident(a.attname),
          format_type(a.atttypid, a.atttypmod),
          case when a.attnotnull then 'not null' end,
          case a.attgenerated
            when 's' then 'generated always as (' || pg_get_expr(d.adbin, d.adrelid) || ') stored'
            else 'default ' || pg_get_expr(d.adbin, d.adrelid)
          end
        ) as line
      from pg_attribute a
      left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
      where a.attrelid = c.oid
        and a.attnum > 0
        and not a.attisdropped
      union all
      select 2, 0, 'constraint ' || k.conname || ' ' || pg_get_constraintdef(k.oid)
      from pg_constraint k
      where k.conrelid = c.oid
        and k.contype in ('c', 'f', 'p', 'u')
        and k.conparentid = 0
    ) as l
    where c.oid = ${table}
    group by c.oid, c.relname, c.reloptions
  `;
}

function listPartitions(sql: postgres.Sql, table: number): Promise<TextRow[]> {
  return sql<TextRow[]>`
    select '-- partitions: ' || string_agg(distinct regexp_replace(p.relname, '[0-9]+', 'N', 'g'), ', ') as text
    from pg_inherits i
    join pg_class p on p.oid = i.inhrelid
    where i.inhparent = ${table}
    having count(*) > 0
  `;
}

function listIndexes(sql: postgres.Sql, table: number): Promise<TextRow[]> {
  return sql<TextRow[]>`
    select replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON ') || ';' as text
    from pg_index i
    join pg_class n on n.oid = i.indexrelid
    where i.indrelid = ${table}
      and not exists (select from pg_constraint k where k.conindid = i.indexrelid and k.conrelid = i.indrelid)
    order by n.relname collate "C"
  `;
}

function listTriggers(sql: postgres.Sql, table: number): Promise<TextRow[]> {
  return sql<TextRow[]>`
    select format(E'%s;\ncomment on trigger %s on %s is %L;',
      pg_get_triggerdef(t.oid), t.tgname, t.tgrelid::regclass, obj_description(t.oid, 'pg_trigger')) as text
    from pg_trigger t
    where t.tgrelid = ${table}
      and not t.tgisinternal
    order by t.tgname collate "C"
  `;
}

function listPolicies(sql: postgres.Sql, table: number): Promise<TextRow[]> {
  return sql<TextRow[]>`
    select l.text
    from (
      select '' as name, format('alter table %s %s;', c.relname, concat_ws(', ',
        case when c.relrowsecurity then 'enable row level security' end,
        case when c.relforcerowsecurity then 'force row level security' end)) as text
      from pg_class c
      where c.oid = ${table}
        and c.relrowsecurity
      union all
      select p.polname, format('create policy %s on %s as %s for %s to %s%s%s;',
        p.polname,
        p.polrelid::regclass,
        case when p.polpermissive then 'permissive' else 'restrictive' end,
        case p.polcmd when '*' then 'all' when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update'
          else 'delete' end,
        (
          select string_agg(case when r = c.relowner then 'owner' else pg_get_userbyid(r) end, ', ')
          from unnest(p.polroles) as r
        ),
        E'\n  using (' || pg_get_expr(p.polqual, p.polrelid) || ')',
        E'\n  with check (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')')
      from pg_policy p
      join pg_class c on c.oid = p.polrelid
      where p.polrelid = ${table}
    ) as l
    order by l.name collate "C"
  `;
}

/** Grants to roles other than the owner on a table or view, and on its sequences. */
export function listGrants(sql: postgres.Sql, relation: number): Promise<TextRow[]> {
  return sql<TextRow[]>`
    select format('grant %s on %s%s to %s;',
      string_agg(lower(g.privilege_type), ', ' order by g.privilege_type),
      case when c.relkind = 'S' then 'sequence ' end, c.relname, pg_get_userbyid(g.grantee)) as text
    from pg_class c
    cross join lateral aclexplode(c.relacl) as g
    where g.grantee != c.relowner
      and (
        c.oid = ${relation}
        or c.oid in (select d.objid from pg_depend d where d.refobjid = ${relation} and d.deptype = 'a')
      )
      and c.relkind in ('r', 'p', 'v', 'S')
    group by c.oid, c.relname, c.relkind, g.grantee
    order by (c.oid = ${relation}) desc, c.relname collate "C", pg_get_userbyid(g.grantee)::text collate "C"
  `;
}

export function listComments(sql: postgres.Sql, relation: number): Promise<TextRow[]> {
  return sql<TextRow[]>`
    select format('comment on %s is %L;',
      case
        when d.objsubid > 0 then format('column %s.%I', c.relname, a.attname)
        when c.relkind = 'v' then 'view ' || c.relname
        else 'table ' || c.relname
      end,
      d.description) as text
    from pg_description d
    join pg_class c on c.oid = d.objoid
    left join pg_attribute a on a.attrelid = c.oid and a.attnum = d.objsubid
    where d.classoid = 'pg_class'::regclass
      and d.objoid = ${relation}
    order by d.objsubid
  `;
}
