create or replace function mend_members(_ids bigint[]) returns table (kind text, mended bigint)
language sql volatile
set search_path = public, pg_temp
begin atomic
  with truth as materialized (select * from member_truth(_ids)),
  -- Its trigger settles unread_count.
  updated as (
    update channel_members m
    set read_post_seq = t.marker,
        own_posts = t.own,
        own_posts_read = t.own_read
    from truth t
    where m.id = t.id
      and (t.read_post_seq, t.own_posts, t.own_posts_read, t.unread_count) != (t.marker, t.own, t.own_read, t.unread)
    returning m.channel_id
  ),
  -- What is kept of unread numbers elsewhere is void.
  told as (
    update channels c
    set unread_version = c.unread_version + 1
    where c.id in (select u.channel_id from updated u)
  )
  select v.kind, count(*) filter (where v.is_wrong)
  from truth t
  cross join lateral (
    values
      ('channel_members.read_post_seq', t.read_post_seq != t.marker),
      ('channel_members.own_posts', t.own_posts != t.own),
      ('channel_members.own_posts_read', t.own_posts_read != t.own_read),
      ('channel_members.unread_count', t.unread_count != t.unread)
  ) as v(kind, is_wrong)
  group by v.kind;
end;
comment on function mend_members(bigint[]) is 'Mends the numbers of locked memberships, and how many of each kind.';

alter function mend_members(bigint[]) owner to discuss_system;
revoke all on function mend_members(bigint[]) from public;
