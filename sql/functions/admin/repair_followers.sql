create or replace function repair_followers(_ids bigint[]) returns table (kind text, repaired bigint)
language sql volatile
set search_path = public, pg_temp
begin atomic
  with expected as materialized (select * from expected_followers(_ids)),
  updated as (
    update thread_followers f
    set replies = t.expected_replies,
        first_reply_id = t.expected_first_reply_id
    from expected t
    where f.tenant_id = t.tenant_id and f.root_id = t.root_id and f.user_id = t.user_id
      and (t.replies, t.first_reply_id) is distinct from (t.expected_replies, t.expected_first_reply_id)
  )
  select v.kind, count(*) filter (where v.is_wrong)
  from expected t
  cross join lateral (
    values
      ('thread_followers.replies', t.replies != t.expected_replies),
      ('thread_followers.first_reply_id', t.first_reply_id is distinct from t.expected_first_reply_id)
  ) as v(kind, is_wrong)
  group by v.kind;
end;
comment on function repair_followers(bigint[]) is
  'Repairs the reply counters of thread followers in locked channels; returns how many of each kind.';

alter function repair_followers(bigint[]) owner to discuss_system;
revoke all on function repair_followers(bigint[]) from public;
