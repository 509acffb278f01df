create or replace function purge_deleted_channels(_age_ms bigint, _limit int) returns int
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
  _before constant bigint := now_ms() - _age_ms;
  _channel_id bigint;
  _tenant_id bigint;
  _purged int;
  _details jsonb;
begin
  perform pg_advisory_xact_lock_shared(hashtext('discuss.holds'));

  select c.id, c.tenant_id
  into _channel_id, _tenant_id
  from channels c
  where c.deleted_at < _before
    and not is_held(c.tenant_id, c.id, '{}')
    -- Of a user, a hold keeps the messages, which cannot be without their channel.
    and not exists (
      select
      from legal_holds h
      where h.tenant_id = c.tenant_id
        and h.released_at is null
        and exists (select from messages m where m.channel_id = c.id and m.sender_id = h.user_id)
    )
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
    _details || jsonb_build_object('channel_id', _channel_id::text, 'age_ms', _age_ms, 'before_ms', _before)
  );
  return _purged;
end
$$;
comment on function purge_deleted_channels(bigint, int) is
  'Removes at most _limit messages of one channel that was deleted more than _age_ms ago, and with the last of them the channel. Returns the number of removed rows; 0 if there is no such channel.';

alter function purge_deleted_channels(bigint, int) owner to discuss_system;
revoke all on function purge_deleted_channels(bigint, int) from public;
grant execute on function purge_deleted_channels(bigint, int) to discuss_service;
