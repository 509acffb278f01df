create or replace function mend_followers(_ids bigint[]) returns table (kind text, mended bigint)
language sql volatile
set search_path = public, pg_temp
begin atomic
  with truth as materialized (select * from follower_truth(_ids)),
  updated as (
    update thread_followers f
    set replies = t.counted,
        first_reply_id = t.first_id
    from truth t
    where f.tenant_id = t.tenant_id and f.root_id = t.root_id and f.user_id = t.user_id
      and (t.replies, t.first_reply_id) is distinct from (t.counted, t.first_id)
  )
  select v.kind, count(*) filter (where v.is_wrong)
  from truth t
  cross join lateral (
    values
      ('thread_followers.replies', t.replies != t.counted),
      ('thread_followers.first_reply_id', t.first_reply_id is distinct from t.first_id)
  ) as v(kind, is_wrong)
  group by v.kind;
end;
comment on function mend_followers(bigint[]) is
  'Mends the replies of those who follow threads of locked channels, and how many of each kind.';

alter function mend_followers(bigint[]) owner to discuss_system;
revoke all on function mend_followers(bigint[]) from public;
