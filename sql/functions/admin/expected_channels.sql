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
  noted as (
    select
      d.channel_id,
      max(d.post_seq) as last_noted,
      max(d.post_seq) filter (where p.id is null) as last_removed
    from deleted_posts d
    left join posted p on p.channel_id = d.channel_id and p.post_seq = d.post_seq
    where d.channel_id = any(_ids)
    group by d.channel_id
  )
  select
    c.id,
    c.member_count,
    (select count(*)::int from channel_members m where m.channel_id = c.id and m.status = 'ACTIVE'),
    c.message_count,
    coalesce(n.messages, 0),
    c.last_message_at,
    -- Messages that were removed for good since left their time and id here alone.
    case when d.last_removed > coalesce(n.last_counting, 0) then greatest(c.last_message_at, n.last_at) else n.last_at end,
    c.last_message_id,
    case when d.last_removed > coalesce(n.last_post, 0) then greatest(c.last_message_id, n.last_id) else n.last_id end,
    c.post_seq,
    greatest(n.last_post, d.last_noted, 0),
    c.event_seq,
    -- The log is cut off at its beginning; lowered, subscribers would be ahead of it.
    greatest(c.event_seq, (select max(e.seq) from channel_events e where e.channel_id = c.id))
  from channels c
  left join newest n on n.channel_id = c.id
  left join noted d on d.channel_id = c.id
  where c.id = any(_ids);
end;
comment on function expected_channels(bigint[]) is
  'Numbers of channels as stored, each followed by what it should be, counted by hand.';

alter function expected_channels(bigint[]) owner to discuss_system;
revoke all on function expected_channels(bigint[]) from public;
