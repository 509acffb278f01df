create or replace function purge_deleted_channels(_age_ms bigint, _limit int) returns int
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
  _channel_id bigint;
  _tenant_id bigint;
  _purged int;
  _details jsonb;
begin
  perform pg_advisory_xact_lock_shared(hashtext('discuss.holds'));

  select c.id, c.tenant_id
  into _channel_id, _tenant_id
  from channels c
  where c.id in (select e.id from expired_channels(_age_ms, 10) as e(id))
  order by c.deleted_at
  limit 1
  for update skip locked;
  if not found then
    return 0;
  end if;

  -- Newest first, so that replies are removed before their root.
  with removed as (
    delete from messages m
    where m.id in (
      select d.id from messages d where d.channel_id = _channel_id order by d.id desc limit _limit
    )
    returning m.id
  )
  select count(*), jsonb_build_object('count', count(*), 'first_id', min(r.id)::text, 'last_id', max(r.id)::text)
  into _purged, _details
  from removed r;
  if _purged < _limit then
    delete from channels c where c.id = _channel_id;
    _purged := _purged + 1;
  end if;
  perform append_audit_event(
    _tenant_id, 'job', 0, 'DELETED_CHANNEL_PURGED',
    _details || jsonb_build_object('channel_id', _channel_id::text) || purge_rule('deleted', _age_ms)
  );
  return _purged;
end
$$;
comment on function purge_deleted_channels(bigint, int) is
  'Removes at most _limit messages of one channel whose period of retention is over, and with the last of them the channel. Returns the number of removed rows; 0 if there is no such channel.';

alter function purge_deleted_channels(bigint, int) owner to discuss_system;
revoke all on function purge_deleted_channels(bigint, int) from public;
grant execute on function purge_deleted_channels(bigint, int) to discuss_service;
