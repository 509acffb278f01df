create or replace function wrong_channels(_ids bigint[]) returns table (part text, checked bigint, wrong bigint[])
language sql stable
set search_path = public, pg_temp
begin atomic
  select
    'channels', count(*),
    array_agg(t.channel_id) filter (
      where (t.member_count, t.message_count, t.last_message_at, t.last_message_id, t.post_seq, t.event_seq)
        is distinct from (t.members, t.messages, t.last_at, t.last_id, t.last_post, t.last_event)
    )
  from channel_truth(_ids) t
  union all
  select 'deleted_posts', count(*), array_agg(distinct t.channel_id) filter (where t.is_noted != t.is_due)
  from deleted_post_truth(_ids) t
  union all
  select
    'channel_members', count(*),
    array_agg(distinct t.channel_id) filter (
      where (t.read_post_seq, t.own_posts, t.own_posts_read, t.unread_count) != (t.marker, t.own, t.own_read, t.unread)
    )
  from member_truth(_ids) t
  union all
  select
    'thread_followers', count(*),
    array_agg(distinct t.channel_id) filter (
      where (t.replies, t.first_reply_id) is distinct from (t.counted, t.first_id)
    )
  from follower_truth(_ids) t
  union all
  select
    'messages', count(*),
    array_agg(distinct t.channel_id) filter (
      where (t.thread_count, t.thread_user_count, t.thread_users, t.last_reply_at)
        is distinct from (t.replies, t.users, t.first_users, t.last_at)
    )
  from thread_truth(_ids) t;
end;
comment on function wrong_channels(bigint[]) is
  'For each table how many rows were compared with a count by hand, and the channels in which any is wrong.';

alter function wrong_channels(bigint[]) owner to discuss_system;
revoke all on function wrong_channels(bigint[]) from public;
