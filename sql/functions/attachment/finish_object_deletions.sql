create or replace function finish_object_deletions(_ids bigint[]) returns void
language sql security definer
set search_path = public, pg_temp
as $$
  delete from object_deletions d where d.id = any(_ids)
$$;
comment on function finish_object_deletions(bigint[]) is 'Removes deletions that the store has confirmed.';

alter function finish_object_deletions(bigint[]) owner to discuss_system;
revoke all on function finish_object_deletions(bigint[]) from public;
grant execute on function finish_object_deletions(bigint[]) to discuss_service;
