create or replace function browse_channels(_words text[], _after bigint, _limit int)
returns table (channel_id bigint, place bigint)
language plpgsql stable security definer
set search_path = public, pg_temp
as $$
declare
  _patterns constant text[] := array(
    select case when length(w) < 3 then '% ' else '%' end || normalize_text(w) || '%' from unnest(_words) as w
  );
begin
  return query
  select c.id, row_number() over (order by n.name collate "C", c.id)
  from channels c
  join channel_names n on n.channel_id = c.id
  where c.tenant_id = app_tenant_id()
    and c.type = 'GROUP'
    and not c.is_private
    and not c.is_archived
    and c.deleted_at is null
    and n.name like all (_patterns)
    and (
      _after is null
      or (n.name collate "C", c.id) > (
        select a.name collate "C", a.channel_id
        from channel_names a
        where a.channel_id = _after
          and a.tenant_id = app_tenant_id()
      )
    )
  order by n.name collate "C", c.id
  limit _limit;
end
$$;
comment on function browse_channels(text[], bigint, int) is
  'Public groups of the caller''s tenant whose names contain all the words, ordered by name, after the given channel. Checks tenant and visibility itself, because the service sees no row of channel_names.';

alter function browse_channels(text[], bigint, int) owner to discuss_system;
revoke all on function browse_channels(text[], bigint, int) from public;
grant execute on function browse_channels(text[], bigint, int) to discuss_service;
