create or replace function repair_channels(_ids bigint[]) returns table (kind text, repaired bigint)
language sql volatile
set search_path = public, pg_temp
begin atomic
  with expected as materialized (select * from expected_channels(_ids)),
  updated as (
    update channels c
    set member_count = t.expected_member_count,
        message_count = t.expected_message_count,
        last_message_at = t.expected_last_message_at,
        last_message_id = t.expected_last_message_id,
        post_seq = t.expected_post_seq,
        event_seq = t.expected_event_seq,
        -- Stored unread counts were computed from the wrong post_seq.
        unread_version = c.unread_version + case when c.post_seq = t.expected_post_seq then 0 else 1 end
    from expected t
    where c.id = t.channel_id
      and (t.member_count, t.message_count, t.last_message_at, t.last_message_id, t.post_seq, t.event_seq)
        is distinct from (
          t.expected_member_count, t.expected_message_count, t.expected_last_message_at,
          t.expected_last_message_id, t.expected_post_seq, t.expected_event_seq
        )
  )
  select v.kind, count(*) filter (where v.is_wrong)
  from expected t
  cross join lateral (
    values
      ('channels.member_count', t.member_count != t.expected_member_count),
      ('channels.message_count', t.message_count != t.expected_message_count),
      ('channels.last_message_at', t.last_message_at is distinct from t.expected_last_message_at),
      ('channels.last_message_id', t.last_message_id is distinct from t.expected_last_message_id),
      ('channels.post_seq', t.post_seq != t.expected_post_seq),
      ('channels.event_seq', t.event_seq != t.expected_event_seq)
  ) as v(kind, is_wrong)
  group by v.kind;
end;
comment on function repair_channels(bigint[]) is
  'Repairs the counters of locked channels; returns how many of each kind.';

alter function repair_channels(bigint[]) owner to discuss_system;
revoke all on function repair_channels(bigint[]) from public;
