create or replace function remove_abandoned_uploads(_age_ms bigint, _limit int) returns int
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
  _removed int;
begin
  -- Materialized, because a join could evaluate a subquery, and thus its limit, several times.
  with old as materialized (
    select u.id
    from attachments u
    where u.message_id is null
      and u.created_at < retention_now() - _age_ms
    order by u.created_at
    limit _limit
    for update skip locked
  )
  delete from attachments a
  using old
  where a.id = old.id;
  get diagnostics _removed = row_count;
  return _removed;
end
$$;
comment on function remove_abandoned_uploads(bigint, int) is
  'Removes at most _limit files that were uploaded, or began to be, longer than _age_ms ago and are in no message. Returns their number. Their objects are queued for deletion.';

alter function remove_abandoned_uploads(bigint, int) owner to discuss_system;
revoke all on function remove_abandoned_uploads(bigint, int) from public;
grant execute on function remove_abandoned_uploads(bigint, int) to discuss_service;
