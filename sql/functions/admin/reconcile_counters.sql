create or replace function reconcile_counters(_tenant_id bigint, _after bigint, _limit int)
returns table (kind text, checked bigint, repaired bigint, next_after bigint)
language plpgsql security definer
set search_path = public, pg_temp
as $$
#variable_conflict use_column
declare
  _ids bigint[] := next_channel_ids(_tenant_id, _after, _limit, 50000);
  _next bigint := _ids[cardinality(_ids)];
  _wrong bigint[];
  _checked jsonb;
  _repaired jsonb;
begin
  if current_setting('app.role', true) is distinct from 'operator' then
    raise exception 'reconcile_counters: only for operators' using errcode = 'insufficient_privilege';
  end if;
  if next_channel_ids(_tenant_id, _next, 1, 0) is null then
    _next := null;
  end if;

  with found as materialized (select * from list_mismatched_channels(_ids))
  select
    (select jsonb_object_agg(f.part, f.checked) from found f),
    (select array_agg(distinct w.id) from found f cross join lateral unnest(f.wrong) as w(id))
  into _checked, _wrong;

  -- In the lock order; members too, because read markers move without the lock of the channel.
  perform 1
  from channels c
  where c.id = any(_wrong)
  order by c.id
  for no key update;
  perform 1
  from channel_members m
  where m.channel_id = any(_wrong)
  order by m.id
  for no key update;

  if _wrong is not null then
    -- In this order, because later counters are derived from earlier ones.
    select jsonb_object_agg(m.kind, m.repaired) into _repaired from repair_channels(_wrong) m;
    select _repaired || jsonb_object_agg(m.kind, m.repaired) into _repaired from repair_deleted_posts(_wrong) m;
    select _repaired || coalesce(jsonb_object_agg(m.kind, m.repaired), '{}') into _repaired
    from repair_members(_wrong) m;
    select _repaired || coalesce(jsonb_object_agg(m.kind, m.repaired), '{}') into _repaired
    from repair_followers(_wrong) m;
    select _repaired || coalesce(jsonb_object_agg(m.kind, m.repaired), '{}') into _repaired
    from repair_threads(_wrong) m;
  end if;
  return query
  select
    k.kind,
    (_checked ->> split_part(k.kind, '.', 1))::bigint,
    coalesce((_repaired ->> k.kind)::bigint, 0),
    _next
  from unnest(array[
    'channels.member_count', 'channels.message_count', 'channels.last_message_at', 'channels.last_message_id',
    'channels.post_seq', 'channels.event_seq', 'deleted_posts', 'channel_members.read_post_seq',
    'channel_members.own_posts', 'channel_members.own_posts_read', 'channel_members.unread_count',
    'thread_followers.replies', 'thread_followers.first_reply_id', 'messages.thread_count',
    'messages.thread_user_count', 'messages.thread_users', 'messages.last_reply_at'
  ]) as k(kind)
  union all
  select o.kind, o.checked, o.repaired, _next
  from repair_orphans(_ids, _tenant_id, _after, _next) as o;
end
$$;
comment on function reconcile_counters(bigint, bigint, int) is
  'Compares every stored counter of a page of channels, of one tenant or (0) of all, with the value computed from the rows, and repairs mismatches; also messages that refer to a channel or root message that does not exist. Returns for each kind the number of checked and repaired values, and the channel to continue after (null at the end). For operators.';

alter function reconcile_counters(bigint, bigint, int) owner to discuss_system;
revoke all on function reconcile_counters(bigint, bigint, int) from public;
grant execute on function reconcile_counters(bigint, bigint, int) to discuss_service;
