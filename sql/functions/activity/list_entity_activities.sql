create or replace function list_entity_activities(
  _channel_id bigint,
  _entity_type text,
  _entity_id bigint,
  _after_time bigint,
  _after_id bigint,
  _limit int
)
returns table (
  id bigint,
  "timestamp" bigint,
  action_type text,
  actor_id bigint,
  user_id bigint,
  title text,
  description text,
  channel_id bigint,
  occurrences int,
  metadata text
)
language plpgsql stable security definer
set search_path = public, pg_temp
-- A plan cached while the table was small would scan it completely.
set enable_seqscan = off
set jit = off
set enable_bitmapscan = off
as $$
begin
  -- A service that acts for a user has the rights of that user only.
  if not app_is_member(_channel_id) and not (app_is_service() and app_user_id() = 0) then
    return;
  end if;
  return query
  select
    a.id, a."timestamp", a.action_type::text, a.actor_id, a.user_id, a.title::text, a.description, a.channel_id,
    a.occurrences, a.metadata::text
  from activity_feed a
  where a.tenant_id = app_tenant_id()
    and a.entity_type = _entity_type
    and a.entity_id = _entity_id
    and (a.channel_id is null or a.channel_id = _channel_id)
    and a."timestamp" <= _after_time
    and (a."timestamp", a.id) < (_after_time, _after_id)
  order by a."timestamp" desc, a.id desc
  limit _limit;
end
$$;
comment on function list_entity_activities(bigint, text, bigint, bigint, bigint, int) is
  'Activities of all users about an entity, newest first, after a place in that order. _channel_id is the topic channel of the entity, which the calling statement looks up. Checks membership of it, because the policy of activity_feed shows a user its own rows only.';

alter function list_entity_activities(bigint, text, bigint, bigint, bigint, int) owner to discuss_system;
revoke all on function list_entity_activities(bigint, text, bigint, bigint, bigint, int) from public;
grant execute on function list_entity_activities(bigint, text, bigint, bigint, bigint, int) to discuss_service;
