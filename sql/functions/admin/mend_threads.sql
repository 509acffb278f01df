create or replace function mend_threads(_ids bigint[]) returns table (kind text, mended bigint)
language sql volatile
set search_path = public, pg_temp
begin atomic
  with truth as materialized (select * from thread_truth(_ids)),
  updated as (
    update messages m
    set thread_count = t.replies,
        thread_user_count = t.users,
        thread_users = t.first_users,
        last_reply_at = t.last_at
    from truth t
    where m.id = t.id
      and (t.thread_count, t.thread_user_count, t.thread_users, t.last_reply_at)
        is distinct from (t.replies, t.users, t.first_users, t.last_at)
  )
  select v.kind, count(*) filter (where v.is_wrong)
  from truth t
  cross join lateral (
    values
      ('messages.thread_count', t.thread_count != t.replies),
      ('messages.thread_user_count', t.thread_user_count != t.users),
      ('messages.thread_users', t.thread_users != t.first_users),
      ('messages.last_reply_at', t.last_reply_at is distinct from t.last_at)
  ) as v(kind, is_wrong)
  group by v.kind;
end;
comment on function mend_threads(bigint[]) is
  'Mends what messages of locked channels show of their threads, and how many of each kind.';

alter function mend_threads(bigint[]) owner to discuss_system;
revoke all on function mend_threads(bigint[]) from public;
