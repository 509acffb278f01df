create or replace function purge_deleted_messages(_age_ms bigint, _limit int) returns int
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
  _ids bigint[];
  _held bigint[];
  _found int;
  _removed jsonb;
begin
  perform pg_advisory_xact_lock_shared(hashtext('discuss.holds'));

  loop
    select array_agg(e.id) filter (where not e.held), array_agg(e.id) filter (where e.held), count(*)
    into _ids, _held, _found
    from expired_messages(_age_ms, _limit) as e;
    -- So that no purge reads them again before the hold is released.
    update messages m
    set is_kept = true
    where m.id = any(_held);
    exit when _ids is not null or _found < _limit;
  end loop;

  perform 1
  from channels c
  where c.id in (select m.channel_id from messages m where m.id = any(_ids))
  order by c.id
  for no key update;

  with removed as (
    delete from messages m
    where m.id = any(_ids)
      and m.is_deleted
      and not exists (select 1 from messages r where r.parent_id = m.id)
    returning m.tenant_id, m.id
  )
  select jsonb_agg(to_jsonb(p))
  into _removed
  from (
    select r.tenant_id, count(*) as count, min(r.id)::text as first_id, max(r.id)::text as last_id
    from removed r
    group by r.tenant_id
  ) as p;
  perform certify_purge(_removed, 'DELETED_MESSAGES_PURGED', purge_rule('deleted', _age_ms));
  return coalesce((select sum((e ->> 'count')::int) from jsonb_array_elements(_removed) as e), 0);
end
$$;
comment on function purge_deleted_messages(bigint, int) is
  'Removes at most _limit messages whose period of retention is over, with all rows that refer to them, and returns how many. The first message of a thread remains while it has replies, and so does what a legal hold concerns.';

alter function purge_deleted_messages(bigint, int) owner to discuss_system;
revoke all on function purge_deleted_messages(bigint, int) from public;
grant execute on function purge_deleted_messages(bigint, int) to discuss_service;
