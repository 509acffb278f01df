-- Channels and members: what the caller's own rights do not reach.

create function lock_public_group(_channel_id bigint) returns boolean
language plpgsql security definer
set search_path = public, pg_temp
as $$
begin
  perform 1
  from channels c
  where c.id = _channel_id
    and c.tenant_id = app_tenant_id()
    and c.type = 'GROUP'
    and not c.is_private
    and c.deleted_at is null
  for no key update;
  return found;
end
$$;
comment on function lock_public_group(bigint) is
  'Locks a public group of the caller''s tenant as every change of a channel does, for who is about to join it: the update policy, which holds for locks too, is of members. False when there is no such group.';

-- One DIRECT channel per pair and one TOPIC channel per entity, of those that are not deleted.
drop index idx_direct_channel_unique;
create unique index idx_direct_channel_unique
  on channels (tenant_id, least(created_by, entity_id), greatest(created_by, entity_id))
  where type = 'DIRECT' and deleted_at is null;

drop index idx_topic_channel_unique;
create unique index idx_topic_channel_unique
  on channels (tenant_id, entity_type, entity_id)
  where type = 'TOPIC' and deleted_at is null;

-- Messages of a channel that mention somebody: unread mentions of ListChannels and GetUnreadSummary.
create index idx_messages_mentioning
  on messages (channel_id, id)
  where mentions != '{}' or mention_scope = 'CHANNEL';

create function browse_channels(_words text[], _after bigint, _limit int)
returns table (channel_id bigint, place bigint)
language plpgsql stable security definer
set search_path = public, pg_temp
as $$
declare
  _patterns constant text[] := array(
    select case when length(w) < 3 then '% ' else '%' end || fold_text(w) || '%' from unnest(_words) as w
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
  'Public groups of the caller''s tenant whose names hold all the words, by name, after the one given. The names are kept apart for searches, where no policy shows them to the service.';

do $$
declare
  _function text;
begin
  foreach _function in array array['lock_public_group(bigint)', 'browse_channels(text[], bigint, int)'] loop
    execute format('alter function %s owner to discuss_system', _function);
    execute format('revoke all on function %s from public', _function);
    execute format('grant execute on function %s to discuss_service', _function);
  end loop;
end
$$;
