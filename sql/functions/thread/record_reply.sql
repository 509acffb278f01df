create or replace function record_reply(_message_id bigint, _payload bytea) returns bytea
language plpgsql security definer
set search_path = public, pg_temp
-- Planning these statements takes longer than their execution.
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  _reply record;
  _root record;
  _is_new_user boolean;
  _patched bytea;
begin
  select r.id, r.tenant_id, r.channel_id, r.parent_id, r.sender_id, r.mentions, r.event_seq, r.created_at
  into _reply
  from messages r
  where r.id = _message_id;

  _is_new_user := _reply.sender_id > 0 and not exists (
    select 1
    from thread_followers f
    where f.tenant_id = _reply.tenant_id
      and f.root_id = _reply.parent_id
      and f.user_id = _reply.sender_id
      and f.replies > 0
  );

  update messages p
  set
    thread_count = p.thread_count + 1,
    thread_user_count = p.thread_user_count + _is_new_user::int,
    thread_users = case when _is_new_user then (p.thread_users || _reply.sender_id)[:5] else p.thread_users end,
    last_reply_at = _reply.created_at,
    event_seq = _reply.event_seq
  where p.id = _reply.parent_id
  returning p.sender_id, p.thread_count, p.thread_user_count into _root;

  -- The root's sender follows from the first reply, a user who replies from the reply after their own, and a mentioned user
  -- from this reply. A user who unfollowed does not follow again.
  insert into thread_followers as f
    (tenant_id, root_id, user_id, channel_id, read_reply_id, replies, first_reply_id)
  select _reply.tenant_id, _reply.parent_id, u.user_id, _reply.channel_id, min(u.read_id), sum(u.replies), min(u.first_id)
  from (
    select _reply.sender_id as user_id, _reply.id as read_id, 1 as replies, _reply.id as first_id
    union all
    select _root.sender_id, 0, 0, null
    union all
    select unnest(_reply.mentions), _reply.id - 1, 0, null
  ) as u
  join channel_members m
    on m.channel_id = _reply.channel_id and m.user_id = u.user_id and is_member_status(m.status)
  group by u.user_id
  order by u.user_id
  on conflict (tenant_id, root_id, user_id) do update
  set
    replies = f.replies + excluded.replies,
    first_reply_id = coalesce(f.first_reply_id, excluded.first_reply_id)
  where excluded.replies > 0;

  _patched := patch_thread(_payload, _root.thread_count, _root.thread_user_count);
  update channel_events e
  set payload = _patched
  where e.channel_id = _reply.channel_id
    and e.seq = _reply.event_seq
    and e.created_at = _reply.created_at;
  return _patched;
end
$$;
comment on function record_reply(bigint, bytea) is
  'Counts a new reply in its thread, adds its followers, and completes its event in the log with the counts of the thread. Returns that event. Only send_messages() calls it.';

alter function record_reply(bigint, bytea) owner to discuss_system;
revoke all on function record_reply(bigint, bytea) from public;
