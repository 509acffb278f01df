create or replace function tenant_stats(_tenant_id bigint)
returns table (channels bigint, members bigint, messages bigint, posts_1 bigint, posts_7 bigint, posts_30 bigint)
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  select
    count(*), coalesce(sum(c.member_count), 0)::bigint, coalesce(sum(c.message_count), 0)::bigint,
    coalesce(sum(p.posts_1), 0)::bigint, coalesce(sum(p.posts_7), 0)::bigint, coalesce(sum(p.posts_30), 0)::bigint
  from (select retention_now() as now) as t
  cross join channels c
  -- Posts are numbered, so their number in a period follows from its first one, which an index finds.
  left join lateral (
    select
      c.post_seq + 1 - min(f.post_seq) filter (where f.days = 1) as posts_1,
      c.post_seq + 1 - min(f.post_seq) filter (where f.days = 7) as posts_7,
      c.post_seq + 1 - min(f.post_seq) filter (where f.days = 30) as posts_30
    from unnest('{1,7,30}'::int[]) as d(days)
    cross join lateral (
      select d.days, m.post_seq
      from messages m
      where m.channel_id = c.id
        and not m.is_deleted
        and m.created_at >= t.now - d.days * 86400000::bigint
      order by m.created_at
      limit 1
    ) as f
    where c.last_message_at >= t.now - d.days * 86400000::bigint
  ) as p on true
  where c.tenant_id = _tenant_id
    and c.deleted_at is null
    and current_setting('app.role', true) = 'operator';
end;
comment on function tenant_stats(bigint) is
  'Numbers of a tenant''s channels, memberships and messages, and of messages and notices posted in the last 1, 7 and 30 days, from the first one of each period that is not deleted. For operators; zeros for other callers.';

alter function tenant_stats(bigint) owner to discuss_system;
revoke all on function tenant_stats(bigint) from public;
grant execute on function tenant_stats(bigint) to discuss_service;
