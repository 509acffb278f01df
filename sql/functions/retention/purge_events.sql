-- Days are dropped as a whole when the longest period of all tenants is over for them (drop_old_event_partitions()). Until then,
-- events with a shorter period are removed one by one; without rules there are none.
create or replace function purge_events(_days int, _from_channel bigint, _limit int)
returns table (channel_id bigint, removed int)
language plpgsql security definer
set search_path = public, pg_temp
as $$
#variable_conflict use_column
declare
  _day constant bigint := 86400000;
  _now constant bigint := retention_now();
  _bounds record;
  _channel record;
begin
  if not exists (select from retention_rules r where r.log_days is not null) then
    return;
  end if;
  perform pg_advisory_xact_lock_shared(hashtext('discuss.holds'));
  select b.*
  into _bounds
  from retention_bounds('log', _days * _day) as b;

  select c.id, c.tenant_id, p.before
  into _channel
  from channels c
  cross join lateral (select retention_cutoff(c.tenant_id, c.id, 'log', _days * _day, _now) as before) as p
  where c.id >= _from_channel
    and (_bounds.longest > _days * _day or c.tenant_id in (select r.tenant_id from retention_rules r where r.log_days is not null))
    and not is_held(c.tenant_id, c.id, '{}')
    and exists (
      select
      from channel_events e
      where e.channel_id = c.id
        and e.created_at < p.before
        and not is_held(c.tenant_id, c.id, array[e.actor_id])
    )
  order by c.id
  limit 1;
  if not found then
    return;
  end if;

  return query
  with removed as (
    delete from channel_events e
    where e.channel_id = _channel.id
      and e.created_at < _channel.before
      and e.seq in (
        select o.seq
        from channel_events o
        where o.channel_id = _channel.id
          and o.created_at < _channel.before
          and not is_held(_channel.tenant_id, _channel.id, array[o.actor_id])
        order by o.seq
        limit _limit
      )
    returning e.xid, e.id
  ),
  raised as (
    insert into event_log_floors as f (tenant_id, floor_xid, floor_id)
    select _channel.tenant_id, r.xid, r.id
    from removed r
    order by r.xid desc, r.id desc
    limit 1
    on conflict (tenant_id) do update
    set floor_xid = excluded.floor_xid,
        floor_id = excluded.floor_id
    where (excluded.floor_xid, excluded.floor_id) > (f.floor_xid, f.floor_id)
  )
  select _channel.id, count(*)::int from removed;
end
$$;
comment on function purge_events(int, bigint, int) is
  'Removes at most _limit events of the first channel from an id on that has events whose period is over, oldest first, by the rule of the channel, else of the tenant, else _days; not what a legal hold concerns. Returns the channel and their number; no row: none is left.';

alter function purge_events(int, bigint, int) owner to discuss_system;
revoke all on function purge_events(int, bigint, int) from public;
grant execute on function purge_events(int, bigint, int) to discuss_service;
