create or replace function mend_channels(_ids bigint[]) returns table (kind text, mended bigint)
language sql volatile
set search_path = public, pg_temp
begin atomic
  with truth as materialized (select * from channel_truth(_ids)),
  updated as (
    update channels c
    set member_count = t.members,
        message_count = t.messages,
        last_message_at = t.last_at,
        last_message_id = t.last_id,
        post_seq = t.last_post,
        event_seq = t.last_event,
        -- Stored unread numbers were settled by the wrong one.
        unread_version = c.unread_version + case when c.post_seq = t.last_post then 0 else 1 end
    from truth t
    where c.id = t.channel_id
      and (t.member_count, t.message_count, t.last_message_at, t.last_message_id, t.post_seq, t.event_seq)
        is distinct from (t.members, t.messages, t.last_at, t.last_id, t.last_post, t.last_event)
  )
  select v.kind, count(*) filter (where v.is_wrong)
  from truth t
  cross join lateral (
    values
      ('channels.member_count', t.member_count != t.members),
      ('channels.message_count', t.message_count != t.messages),
      ('channels.last_message_at', t.last_message_at is distinct from t.last_at),
      ('channels.last_message_id', t.last_message_id is distinct from t.last_id),
      ('channels.post_seq', t.post_seq != t.last_post),
      ('channels.event_seq', t.event_seq != t.last_event)
  ) as v(kind, is_wrong)
  group by v.kind;
end;
comment on function mend_channels(bigint[]) is 'Mends the numbers of locked channels, and how many of each kind.';

alter function mend_channels(bigint[]) owner to discuss_system;
revoke all on function mend_channels(bigint[]) from public;
