create or replace function list_mismatched_channels(_ids bigint[]) returns table (part text, checked bigint, wrong bigint[])
language sql stable
set search_path = public, pg_temp
begin atomic
  select
    'channels', count(*),
    array_agg(t.channel_id) filter (
      where (t.member_count, t.message_count, t.last_message_at, t.last_message_id, t.post_seq, t.event_seq)
        is distinct from (
          t.expected_member_count, t.expected_message_count, t.expected_last_message_at,
          t.expected_last_message_id, t.expected_post_seq, t.expected_event_seq
        )
    )
  from expected_channels(_ids) t
  union all
  select 'deleted_posts', count(*), array_agg(distinct t.channel_id) filter (where t.is_recorded != t.is_expected)
  from expected_deleted_posts(_ids) t
  union all
  select
    'channel_members', count(*),
    array_agg(distinct t.channel_id) filter (
      where (t.read_post_seq, t.own_posts, t.own_posts_read, t.unread_count)
        != (t.expected_read_post_seq, t.expected_own_posts, t.expected_own_posts_read, t.expected_unread_count)
    )
  from expected_members(_ids) t
  union all
  select
    'thread_followers', count(*),
    array_agg(distinct t.channel_id) filter (
      where (t.replies, t.first_reply_id) is distinct from (t.expected_replies, t.expected_first_reply_id)
    )
  from expected_followers(_ids) t
  union all
  select
    'messages', count(*),
    array_agg(distinct t.channel_id) filter (
      where (t.thread_count, t.thread_user_count, t.thread_users, t.last_reply_at)
        is distinct from (
          t.expected_thread_count, t.expected_thread_user_count,
          t.expected_thread_users, t.expected_last_reply_at
        )
    )
  from expected_threads(_ids) t;
end;
comment on function list_mismatched_channels(bigint[]) is
  'For each table the number of compared rows, and the channels in which a stored value differs from the expected one.';

alter function list_mismatched_channels(bigint[]) owner to discuss_system;
revoke all on function list_mismatched_channels(bigint[]) from public;
