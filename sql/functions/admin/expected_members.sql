-- Compares in one statement, so in one snapshot: a counter and the row that it counts commit together, so a concurrent
-- change is never reported as a mismatch.
create or replace function expected_members(_ids bigint[])
returns table (
  channel_id bigint,
  id bigint,
  read_post_seq bigint, expected_read_post_seq bigint,
  own_posts bigint, expected_own_posts bigint,
  own_posts_read bigint, expected_own_posts_read bigint,
  unread_count int, expected_unread_count int
)
language sql stable
set search_path = public, pg_temp
begin atomic
  with posted as materialized (
    select x.channel_id, array_agg(x.id order by x.id) as ids, array_agg(x.post_seq order by x.id) as posts
    from messages x
    where x.channel_id = any(_ids)
    group by x.channel_id
  ),
  own as materialized (
    select o.channel_id, o.sender_id, array_agg(o.post_seq order by o.post_seq) as posts
    from (
      select x.channel_id, x.sender_id, x.post_seq
      from messages x
      where x.channel_id = any(_ids) and not x.is_deleted and x.notice is null
      union all
      select d.channel_id, d.sender_id, d.post_seq
      from deleted_posts d
      where d.channel_id = any(_ids)
    ) as o
    group by o.channel_id, o.sender_id
  )
  select
    t.channel_id, t.id, t.read_post_seq, t.marker, t.own_posts, t.own, t.own_posts_read, t.own_read, t.unread_count,
    -- A count that is not settled yet is not a mismatch.
    case
      -- A wrong channels.post_seq may exceed the range of int.
      when t.is_settled then derived_unread(
        t.channel_id, t.user_id, least(t.post_seq, t.marker + 2147483647), t.marker, t.own, t.own_read
      )
      else t.unread_count
    end
  from (
    select
      m.channel_id, m.id, m.user_id, m.read_post_seq, k.marker, m.own_posts, m.own_posts_read, m.unread_count, c.post_seq,
      coalesce(cardinality(o.posts), 0)::bigint as own,
      coalesce(width_bucket(k.marker, o.posts), 0)::bigint as own_read,
      is_member_status(m.status) and c.unread_version = c.settled_version as is_settled
    from channel_members m
    join channels c on c.id = m.channel_id
    left join own o on o.channel_id = m.channel_id and o.sender_id = m.user_id
    left join posted p on p.channel_id = m.channel_id
    -- read_post_seq must lie between the message that the marker points at (or the last one before it that still has a row)
    -- and the next one.
    cross join lateral (select coalesce(width_bucket(m.last_read_msg_id, p.ids), 0) as place) as l
    cross join lateral (
      select least(
        greatest(m.read_post_seq, p.posts[l.place]),
        coalesce(p.posts[l.place + 1] - 1, c.post_seq)
      ) as marker
    ) as k
    where m.channel_id = any(_ids)
  ) as t;
end;
comment on function expected_members(bigint[]) is
  'Stored counters of memberships, each followed by the expected value, computed from the rows.';

alter function expected_members(bigint[]) owner to discuss_system;
revoke all on function expected_members(bigint[]) from public;
