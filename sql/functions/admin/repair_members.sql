create or replace function repair_members(_ids bigint[]) returns table (kind text, repaired bigint)
language sql volatile
set search_path = public, pg_temp
begin atomic
  with expected as materialized (select * from expected_members(_ids)),
  -- trigger_settle_member_unread stores unread_count.
  updated as (
    update channel_members m
    set read_post_seq = t.expected_read_post_seq,
        own_posts = t.expected_own_posts,
        own_posts_read = t.expected_own_posts_read,
        version = m.version + 1
    from expected t
    where m.id = t.id
      and (t.read_post_seq, t.own_posts, t.own_posts_read, t.unread_count)
        != (t.expected_read_post_seq, t.expected_own_posts, t.expected_own_posts_read, t.expected_unread_count)
    returning m.channel_id
  ),
  -- Invalidates cached unread counts.
  invalidated as (
    update channels c
    set unread_version = c.unread_version + 1
    where c.id in (select u.channel_id from updated u)
  )
  select v.kind, count(*) filter (where v.is_wrong)
  from expected t
  cross join lateral (
    values
      ('channel_members.read_post_seq', t.read_post_seq != t.expected_read_post_seq),
      ('channel_members.own_posts', t.own_posts != t.expected_own_posts),
      ('channel_members.own_posts_read', t.own_posts_read != t.expected_own_posts_read),
      ('channel_members.unread_count', t.unread_count != t.expected_unread_count)
  ) as v(kind, is_wrong)
  group by v.kind;
end;
comment on function repair_members(bigint[]) is
  'Repairs the counters of locked memberships; returns how many of each kind.';

alter function repair_members(bigint[]) owner to discuss_system;
revoke all on function repair_members(bigint[]) from public;
