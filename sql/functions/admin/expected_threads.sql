-- Compares in one statement, so in one snapshot: a counter and the row that it counts commit together, so a concurrent
-- change is never reported as a mismatch.
create or replace function expected_threads(_ids bigint[])
returns table (
  channel_id bigint,
  id bigint,
  thread_count int, expected_thread_count int,
  thread_user_count int, expected_thread_user_count int,
  thread_users bigint[], expected_thread_users bigint[],
  last_reply_at bigint, expected_last_reply_at bigint
)
language sql stable
set search_path = public, pg_temp
-- On tables without statistics the planner assumes that nested loops are cheap: 30,000 messages took minutes, and 0.3 s
-- without them.
set enable_nestloop = off
begin atomic
  with authors as materialized (
    select
      x.parent_id, x.sender_id, count(*) as replies, max(x.id) as last_id,
      coalesce(min(f.first_reply_id), min(x.id)) as first_id
    from messages x
    left join thread_followers f
      on f.tenant_id = x.tenant_id and f.root_id = x.parent_id and f.user_id = x.sender_id
    where x.channel_id = any(_ids) and x.parent_id is not null and not x.is_deleted
    group by x.parent_id, x.sender_id
  ),
  threads as materialized (
    select
      a.parent_id,
      sum(a.replies)::int as replies,
      count(*) filter (where a.sender_id > 0)::int as users,
      (array_agg(a.sender_id order by a.first_id) filter (where a.sender_id > 0))[:5] as first_users,
      max(a.last_id) as last_id
    from authors a
    group by a.parent_id
  )
  select
    m.channel_id, m.id,
    m.thread_count, coalesce(t.replies, 0),
    m.thread_user_count, coalesce(t.users, 0),
    m.thread_users, coalesce(t.first_users, '{}'),
    m.last_reply_at, (select x.created_at from messages x where x.id = t.last_id)
  from messages m
  left join threads t on t.parent_id = m.id
  where m.channel_id = any(_ids);
end;
comment on function expected_threads(bigint[]) is
  'Stored thread counters of messages, also of those without a thread, each followed by the expected value, computed from the rows.';

alter function expected_threads(bigint[]) owner to discuss_system;
revoke all on function expected_threads(bigint[]) from public;
