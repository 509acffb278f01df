import type postgres from 'postgres';
import { describeTables, listComments, listGrants, type TextRow } from './table-text.ts';

/**
 * The schema `public` as text, from the catalog: the same for the same migrations, whoever owns the database,
 * whatever the day. Partitions show by the pattern of their names only.
 */
export async function describeSchema(sql: postgres.Sql): Promise<string> {
  await sql`select set_config('search_path', 'public', false)`;
  const sections: [title: string, rows: readonly TextRow[]][] = [
    ['Extensions', await listExtensions(sql)],
    ['Text search', await listTextSearch(sql)],
    ['Tables', await describeTables(sql)],
    ['Views', await listViews(sql)],
    ['Functions', await listFunctions(sql)],
    ['Schema', await listSchemaGrants(sql)],
  ];
  const header = '-- Written by make schema from the migrated database. Change it by a migration.\n';
  return header + sections.map(([title, rows]) => section(title, rows)).join('');
}

function section(title: string, rows: readonly TextRow[]): string {
  return `\n-- ${title}\n\n${rows.map((row) => `${row.text}\n`).join('\n')}`;
}

function listExtensions(sql: postgres.Sql): Promise<TextRow[]> {
  return sql<TextRow[]>`
    select 'create extension ' || e.extname || ';' as text
    from pg_extension e
    where e.extname != 'plpgsql'
    order by e.extname collate "C"
  `;
}

function listTextSearch(sql: postgres.Sql): Promise<TextRow[]> {
  return sql<TextRow[]>`
    select
      format(E'-- text search configuration %1$s: %2$s\ncomment on text search configuration %1$s is %3$L;',
        c.cfgname, m.mappings, obj_description(c.oid, 'pg_ts_config')) as text
    from pg_ts_config c
    cross join lateral (
      select string_agg(t.alias || ' ' || t.dictionaries, ', ' order by t.alias collate "C") as mappings
      from (
        select y.alias, string_agg(d.dictname, '+' order by m.mapseqno) as dictionaries
        from pg_ts_config_map m
        join ts_token_type('default') y on y.tokid = m.maptokentype
        join pg_ts_dict d on d.oid = m.mapdict
        where m.mapcfg = c.oid
        group by y.alias
      ) as t
    ) as m
    where c.cfgnamespace = 'public'::regnamespace
    order by c.cfgname collate "C"
  `;
}

async function listViews(sql: postgres.Sql): Promise<TextRow[]> {
  const views = await sql<{ oid: number; text: string }[]>`
    select
      c.oid::int as oid,
      format(E'create view %s with (%s) as\n%s', c.relname, array_to_string(c.reloptions, ', '),
        pg_get_viewdef(c.oid)) as text
    from pg_class c
    where c.relnamespace = 'public'::regnamespace
      and c.relkind = 'v'
    order by c.relname collate "C"
  `;
  const texts: TextRow[] = [];
  for (const { oid, text } of views) {
    const rest = [...(await listGrants(sql, oid)), ...(await listComments(sql, oid))];
    texts.push({ text: [text, ...rest.map((row) => row.text)].join('\n') });
  }
  return texts;
}

function listFunctions(sql: postgres.Sql): Promise<TextRow[]> {
  return sql<TextRow[]>`
    select concat_ws(E'\n',
      rtrim(pg_get_functiondef(p.oid), E'\n') || ';',
      case when p.proowner != n.relowner then
        format('alter function %s owner to %s;', p.oid::regprocedure, pg_get_userbyid(p.proowner))
      end,
      -- No list of rights means the default: everybody may.
      case when p.proacl is not null then format('revoke all on function %s from public;', p.oid::regprocedure) end,
      (
        select string_agg(
          format('grant execute on function %s to %s;', p.oid::regprocedure,
            case g.grantee when 0 then 'public' else pg_get_userbyid(g.grantee) end),
          E'\n' order by g.grantee::regrole::text collate "C"
        )
        from aclexplode(p.proacl) as g
        where g.grantee != p.proowner
      ),
      format('comment on function %s is %L;', p.oid::regprocedure, obj_description(p.oid, 'pg_proc'))
    ) as text
    from pg_proc p
    join pg_class n on n.oid = 'channels'::regclass
    where p.pronamespace = 'public'::regnamespace
      and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
    order by p.proname collate "C", p.oid::regprocedure::text collate "C"
  `;
}

function listSchemaGrants(sql: postgres.Sql): Promise<TextRow[]> {
  return sql<TextRow[]>`
    select format('grant %s on schema public to %s;',
      string_agg(lower(g.privilege_type), ', ' order by g.privilege_type), pg_get_userbyid(g.grantee)) as text
    from pg_namespace n
    cross join lateral aclexplode(n.nspacl) as g
    where n.nspname = 'public'
      and pg_get_userbyid(g.grantee) like 'discuss\\_s%'
    group by g.grantee
    order by pg_get_userbyid(g.grantee)::text collate "C"
  `;
}
