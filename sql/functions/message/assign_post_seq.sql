create or replace function assign_post_seq() returns trigger
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
  _last_message_id bigint;
begin
  -- Locks the channel's row; send_messages() locks it once for its whole batch.
  update channels c
  set post_seq = c.post_seq + 1,
      last_message_id = greatest(c.last_message_id, new.id)
  where c.id = new.channel_id
  returning c.post_seq, c.last_message_id into new.post_seq, _last_message_id;

  if not found then
    raise exception 'channel % does not exist', new.channel_id
      using errcode = 'foreign_key_violation', constraint = 'messages_channel_id_fkey';
  end if;
  if _last_message_id != new.id then
    raise exception 'message % would come after message % of its channel', new.id, _last_message_id
      using errcode = 'serialization_failure', hint = 'Insert the messages of a channel in the order of their ids.';
  end if;

  if new.parent_id is not null
    and not exists (select 1 from messages p where p.id = new.parent_id and p.channel_id = new.channel_id) then
    raise exception 'message % of channel % does not exist', new.parent_id, new.channel_id
      using errcode = 'foreign_key_violation', constraint = 'messages_parent_id_fkey';
  end if;

  update channel_members m
  set own_posts = m.own_posts + 1
  where m.channel_id = new.channel_id
    and m.user_id = new.sender_id;

  return new;
end
$$;
comment on function assign_post_seq() is
  'Numbers a message that is inserted without post_seq (an import or other plain SQL) and counts it for its channel and sender. A writer that sets post_seq must update channels.post_seq, last_message_id and channel_members.own_posts itself.';

alter function assign_post_seq() owner to discuss_system;
revoke all on function assign_post_seq() from public;
