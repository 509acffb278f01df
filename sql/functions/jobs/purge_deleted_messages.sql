create or replace function purge_deleted_messages(_age_ms bigint, _limit int) returns int
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
  _before constant bigint := now_ms() - _age_ms;
  _ids bigint[];
  _purged int;
begin
  -- Not the first message of a thread that has replies: without it, they would become messages of the channel.
  select array_agg(d.id)
  into _ids
  from (
    select m.id
    from messages m
    where m.is_deleted
      and m.deleted_at < _before
      and not exists (select 1 from messages r where r.parent_id = m.id)
    order by m.deleted_at
    limit _limit
  ) as d;

  perform 1
  from channels c
  where c.id in (select m.channel_id from messages m where m.id = any(_ids))
  order by c.id
  for no key update;

  delete from messages m
  where m.id = any(_ids)
    and m.is_deleted
    and not exists (select 1 from messages r where r.parent_id = m.id);
  get diagnostics _purged = row_count;
  return _purged;
end
$$;
comment on function purge_deleted_messages(bigint, int) is
  'Removes at most _limit messages that were soft-deleted more than _age_ms ago, with all rows that refer to them, and returns how many. The first message of a thread remains while it has replies.';

alter function purge_deleted_messages(bigint, int) owner to discuss_system;
revoke all on function purge_deleted_messages(bigint, int) from public;
grant execute on function purge_deleted_messages(bigint, int) to discuss_service;
