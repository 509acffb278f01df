create or replace function search_channels(_words text[], _limit int)
returns table (channel_id bigint, score int)
language plpgsql stable security definer
set search_path = public, pg_temp
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set jit = off
as $$
declare
  _folded constant text[] := array(select normalize_text(w) from unnest(_words) as w order by length(w) desc, w);
  _whole constant text := normalize_text(array_to_string(_words, ' '));
  -- Words of one or two letters match only the beginning of a word.
  _patterns constant text[] :=
    array(select case when length(w) < 3 then '% ' else '%' end || w || '%' from unnest(_folded) as w);
begin
  return query
  select
    c.id,
    case
      when n.name = ' ' || _whole then 4
      when n.name like ' ' || _whole || '%' then 3
      when n.name like '% ' || _whole || '%' then 2
      else 1
    end
  from channel_names n
  join channels c on c.id = n.channel_id
  where array[n.tenant_id] && array[app_tenant_id()]
    and c.tenant_id = app_tenant_id()
    and c.deleted_at is null
    -- The index finds the longest word; the others are checked on the rows found.
    and n.name like _patterns[1]
    and n.name like all (_patterns)
    and (
      (c.type = 'GROUP' and not c.is_private)
      or exists (
        select 1
        from channel_members cm
        where cm.channel_id = c.id
          and cm.tenant_id = c.tenant_id
          and cm.user_id = app_user_id()
          and is_member_status(cm.status)
      )
    )
  order by 2 desc, c.last_message_at desc nulls last, c.id desc
  limit _limit;
end
$$;
comment on function search_channels(text[], int) is
  'Channels of the caller and public groups of the tenant whose names contain all the words, the best _limit. Score: 4 for the exact name, 3 for its beginning, 2 for the beginning of a word, 1 otherwise. Checks tenant and membership itself, because under row-level security LIKE cannot use the index.';

alter function search_channels(text[], int) owner to discuss_system;
revoke all on function search_channels(text[], int) from public;
grant execute on function search_channels(text[], int) to discuss_service;
