create or replace function delete_message(
  _channel_id bigint,
  _message_id bigint,
  _actor_id bigint,
  _now bigint,
  _created bytea,
  _created_seq_offset int,
  _later bytea,
  _later_seq_offset int
)
returns table (
  root_id bigint,
  thread_count int,
  thread_user_count int,
  thread_users bigint[],
  last_reply_at bigint
)
language plpgsql security definer
set search_path = public, pg_temp
as $$
#variable_conflict use_column
declare
  _tenant_id bigint := app_tenant_id();
  _next_seq bigint;
  _message record;
  _replies int;
begin
  select c.event_seq + 1
  into _next_seq
  from channels c
  where c.id = _channel_id and c.tenant_id = _tenant_id
  for no key update;

  perform keep_held_content(_tenant_id, _channel_id, _message_id);

  update messages m
  set is_deleted = true,
      file_names = '',
      deleted_at = _now,
      deleted_by = _actor_id,
      reactions = '[]',
      pinned_at = null,
      pinned_by = null,
      pin_seq = null,
      event_seq = _next_seq,
      updated_at = _now
  where m.id = _message_id
    and m.channel_id = _channel_id
    and m.tenant_id = _tenant_id
    and not m.is_deleted
  returning m.parent_id, m.sender_id, m.created_event_seq into _message;
  if not found then
    return;
  end if;

  delete from attachments a where a.tenant_id = _tenant_id and a.message_id = _message_id;
  delete from message_edits e where e.tenant_id = _tenant_id and e.message_id = _message_id;
  delete from poll_votes v where v.tenant_id = _tenant_id and v.message_id = _message_id;

  -- Later readers of the log must not receive the deleted content.
  update channel_events e
  set payload = patch_event(_created, _created_seq_offset, e.seq, e.created_at)
  where e.channel_id = _channel_id and e.seq = _message.created_event_seq and e.kind = 'MESSAGE_CREATED';
  update channel_events e
  set payload = patch_event(_later, _later_seq_offset, e.seq, e.created_at)
  where e.tenant_id = _tenant_id and e.message_id = _message_id and e.kind != 'MESSAGE_CREATED';

  if _message.parent_id is null then
    return;
  end if;
  update thread_followers f
  set replies = f.replies - 1,
      first_reply_id = case when f.replies > 1 then f.first_reply_id end
  where f.tenant_id = _tenant_id and f.root_id = _message.parent_id and f.user_id = _message.sender_id
  returning f.replies into _replies;

  return query
  update messages m
  set thread_count = greatest(0, m.thread_count - 1),
      thread_user_count = m.thread_user_count - case when _replies = 0 then 1 else 0 end,
      thread_users = case
        when _replies = 0 then array(
          select f.user_id
          from thread_followers f
          where f.tenant_id = _tenant_id and f.root_id = m.id and f.replies > 0
          order by f.first_reply_id
          limit 5
        )
        else m.thread_users
      end,
      last_reply_at = (
        select r.created_at
        from messages r
        where r.parent_id = m.id and not r.is_deleted
        order by r.id desc
        limit 1
      ),
      event_seq = _next_seq
  where m.id = _message.parent_id and m.tenant_id = _tenant_id
  returning m.id, m.thread_count, m.thread_user_count, m.thread_users, m.last_reply_at;
end
$$;
comment on function delete_message(bigint, bigint, bigint, bigint, bytea, int, bytea, int) is
  'Soft-deletes a message of the caller''s tenant: removes its files, edits, votes, reactions and pin, redacts its events in the log (_created replaces MESSAGE_CREATED, _later all others), and recounts its thread. Returns the updated thread if the message is a reply. The caller must check rights before and append the event of the deletion next.';

alter function delete_message(bigint, bigint, bigint, bigint, bytea, int, bytea, int) owner to discuss_system;
revoke all on function delete_message(bigint, bigint, bigint, bigint, bytea, int, bytea, int) from public;
grant execute on function delete_message(bigint, bigint, bigint, bigint, bytea, int, bytea, int) to discuss_service;
