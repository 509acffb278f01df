create or replace function purge_deleted_channels(_age_ms bigint, _limit int) returns int
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
  _before constant bigint := now_ms() - _age_ms;
  _channel_id bigint;
  _purged int;
begin
  select c.id
  into _channel_id
  from channels c
  where c.deleted_at < _before
  order by c.deleted_at
  limit 1
  for update skip locked;
  if not found then
    return 0;
  end if;

  -- Newest first, so that replies are removed before their root.
  delete from messages m
  where m.id in (
    select d.id from messages d where d.channel_id = _channel_id order by d.id desc limit _limit
  );
  get diagnostics _purged = row_count;
  if _purged < _limit then
    delete from channels c where c.id = _channel_id;
    _purged := _purged + 1;
  end if;
  return _purged;
end
$$;
comment on function purge_deleted_channels(bigint, int) is
  'Removes at most _limit messages of one channel that was deleted more than _age_ms ago, and with the last of them the channel. Returns the number of removed rows; 0 if there is no such channel.';

alter function purge_deleted_channels(bigint, int) owner to discuss_system;
revoke all on function purge_deleted_channels(bigint, int) from public;
grant execute on function purge_deleted_channels(bigint, int) to discuss_service;
