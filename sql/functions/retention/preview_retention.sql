-- Counts, up to _limit of each kind, what a run would remove now. A message that is kept because of its replies is not counted,
-- although a run removes it after these.
create or replace function preview_retention(
  _deleted_ms bigint,
  _activity_ms bigint,
  _inactive_ms bigint,
  _limit int,
  out messages int,
  out channels int,
  out activities int,
  out archived int,
  out exported int
)
language plpgsql stable security definer
set search_path = public, pg_temp
as $$
declare
  _now constant bigint := retention_now();
  _shortest bigint;
begin
  select count(*) into messages from expired_messages(_deleted_ms, _limit) as e where not e.held;

  select coalesce(sum(1 + (select count(*) from messages m where m.channel_id = e.id)), 0)
  into channels
  from expired_channels(_deleted_ms, _limit) as e(id);

  select b.shortest
  into _shortest
  from retention_bounds('activity', _activity_ms) as b;
  select count(*)
  into activities
  from (
    select
    from activity_feed a
    where a."timestamp" < _now - _shortest
      and a."timestamp" < retention_cutoff(a.tenant_id, a.channel_id, 'activity', _activity_ms, _now)
      and not is_held(a.tenant_id, a.channel_id, array[a.user_id, a.actor_id], a.entity_type, a.entity_id)
    limit _limit
  ) as a;

  select count(*) into archived from list_inactive_groups(_inactive_ms, _limit);

  select coalesce(sum(r.messages), 0) into exported from exportable_roots(0, _limit) as r;
end
$$;
comment on function preview_retention(bigint, bigint, bigint, int) is
  'Counts what retention would remove, archive and export now, at most _limit of each kind, without changing anything.';

alter function preview_retention(bigint, bigint, bigint, int) owner to discuss_system;
revoke all on function preview_retention(bigint, bigint, bigint, int) from public;
grant execute on function preview_retention(bigint, bigint, bigint, int) to discuss_service;
