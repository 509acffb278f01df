-- Compares in one statement, so in one snapshot: a counter and the row that it counts commit together, so a concurrent
-- change is never reported as a mismatch.
create or replace function expected_deleted_posts(_ids bigint[])
returns table (channel_id bigint, post_seq bigint, tenant_id bigint, sender_id bigint, is_recorded boolean, is_expected boolean)
language sql stable
set search_path = public, pg_temp
-- On tables without statistics the planner assumes that nested loops are cheap: 30,000 messages took minutes, and 0.3 s
-- without them.
set enable_nestloop = off
begin atomic
  select c.id, n.post_seq, c.tenant_id, coalesce(m.sender_id, 0), d.post_seq is not null, m.id is null or not m.counts
  from channels c
  -- From the rows, because channels.post_seq itself may be wrong.
  cross join lateral generate_series(
    1,
    greatest(
      (select x.post_seq from messages x where x.channel_id = c.id order by x.id desc limit 1),
      (select max(x.post_seq) from deleted_posts x where x.channel_id = c.id)
    )
  ) as n(post_seq)
  left join (
    select x.channel_id, x.post_seq, x.id, x.sender_id, not x.is_deleted and x.notice is null as counts
    from messages x
    where x.channel_id = any(_ids)
  ) as m on m.channel_id = c.id and m.post_seq = n.post_seq
  left join deleted_posts d on d.channel_id = c.id and d.post_seq = n.post_seq
  where c.id = any(_ids);
end;
comment on function expected_deleted_posts(bigint[]) is
  'Each message number of the channels, whether deleted_posts has it, and whether it should.';

alter function expected_deleted_posts(bigint[]) owner to discuss_system;
revoke all on function expected_deleted_posts(bigint[]) from public;
