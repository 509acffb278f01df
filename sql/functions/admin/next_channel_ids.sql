create or replace function next_channel_ids(_tenant_id bigint, _after bigint, _limit int, _budget bigint) returns bigint[]
language sql stable
set search_path = public, pg_temp
begin atomic
  select array_agg(p.id order by p.id) filter (where p.place = 1 or p.work <= _budget)
  from (
    select
      c.id,
      row_number() over (order by c.id) as place,
      sum(c.post_seq + c.member_count) over (order by c.id) as work
    from channels c
    where (_tenant_id = 0 or c.tenant_id = _tenant_id)
      and c.id > _after
      and c.deleted_at is null
    order by c.id
    limit _limit
  ) as p;
end;
comment on function next_channel_ids(bigint, bigint, int, bigint) is
  'The next channels after an id, of one tenant or (0) of all, with at most _budget messages and members in total, but at least one channel; null if none are left.';

alter function next_channel_ids(bigint, bigint, int, bigint) owner to discuss_system;
revoke all on function next_channel_ids(bigint, bigint, int, bigint) from public;
