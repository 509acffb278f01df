-- Compares in one statement, so in one snapshot: a counter and the row that it counts commit together, so a concurrent
-- change is never reported as a mismatch.
create or replace function expected_channels(_ids bigint[])
returns table (
  channel_id bigint,
  member_count int, expected_member_count int,
  message_count int, expected_message_count int,
  last_message_at bigint, expected_last_message_at bigint,
  last_message_id bigint, expected_last_message_id bigint,
  post_seq bigint, expected_post_seq bigint,
  event_seq bigint, expected_event_seq bigint
)
language sql stable
set search_path = public, pg_temp
-- On tables without statistics the planner assumes that nested loops are cheap: 30,000 messages took minutes, and 0.3 s
-- without them.
set enable_nestloop = off
begin atomic
  with posted as materialized (
    select m.channel_id, m.id, m.post_seq, m.created_at, m.notice is null as counts
    from messages m
    where m.channel_id = any(_ids)
  ),
  newest as (
    select
      p.channel_id,
      count(*) filter (where p.counts)::int as messages,
      max(p.created_at) filter (where p.counts) as last_at,
      max(p.post_seq) filter (where p.counts) as last_counting,
      max(p.id) as last_id,
      max(p.post_seq) as last_post
    from posted p
    group by p.channel_id
  ),
  recorded as (
    select
      d.channel_id,
      max(d.post_seq) as last_recorded,
      max(d.post_seq) filter (where p.id is null) as last_removed
    from deleted_posts d
    left join posted p on p.channel_id = d.channel_id and p.post_seq = d.post_seq
    where d.channel_id = any(_ids)
    group by d.channel_id
  )
  select
    c.id,
    c.member_count,
    (select count(*)::int from channel_members m where m.channel_id = c.id and is_member_status(m.status)),
    c.message_count,
    coalesce(n.messages, 0),
    c.last_message_at,
    -- Of messages whose rows were removed since, only these columns still have the time and the id.
    case when d.last_removed > coalesce(n.last_counting, 0) then greatest(c.last_message_at, n.last_at) else n.last_at end,
    c.last_message_id,
    case when d.last_removed > coalesce(n.last_post, 0) then greatest(c.last_message_id, n.last_id) else n.last_id end,
    c.post_seq,
    greatest(n.last_post, d.last_recorded, 0),
    c.event_seq,
    -- Never lowered: old days of the log are dropped, and subscribers would be ahead of it.
    greatest(c.event_seq, (select max(e.seq) from channel_events e where e.channel_id = c.id))
  from channels c
  left join newest n on n.channel_id = c.id
  left join recorded d on d.channel_id = c.id
  where c.id = any(_ids);
end;
comment on function expected_channels(bigint[]) is
  'Stored counters of channels, each followed by the expected value, computed from the rows.';

alter function expected_channels(bigint[]) owner to discuss_system;
revoke all on function expected_channels(bigint[]) from public;
