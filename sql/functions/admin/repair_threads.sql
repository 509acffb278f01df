create or replace function repair_threads(_ids bigint[]) returns table (kind text, repaired bigint)
language sql volatile
set search_path = public, pg_temp
begin atomic
  with expected as materialized (select * from expected_threads(_ids)),
  updated as (
    update messages m
    set thread_count = t.expected_thread_count,
        thread_user_count = t.expected_thread_user_count,
        thread_users = t.expected_thread_users,
        last_reply_at = t.expected_last_reply_at
    from expected t
    where m.id = t.id
      and (t.thread_count, t.thread_user_count, t.thread_users, t.last_reply_at)
        is distinct from (
          t.expected_thread_count, t.expected_thread_user_count,
          t.expected_thread_users, t.expected_last_reply_at
        )
  )
  select v.kind, count(*) filter (where v.is_wrong)
  from expected t
  cross join lateral (
    values
      ('messages.thread_count', t.thread_count != t.expected_thread_count),
      ('messages.thread_user_count', t.thread_user_count != t.expected_thread_user_count),
      ('messages.thread_users', t.thread_users != t.expected_thread_users),
      ('messages.last_reply_at', t.last_reply_at is distinct from t.expected_last_reply_at)
  ) as v(kind, is_wrong)
  group by v.kind;
end;
comment on function repair_threads(bigint[]) is
  'Repairs the thread counters of messages in locked channels; returns how many of each kind.';

alter function repair_threads(bigint[]) owner to discuss_system;
revoke all on function repair_threads(bigint[]) from public;
