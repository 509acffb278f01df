create or replace function keep_held_content(_tenant_id bigint, _channel_id bigint, _message_id bigint) returns void
language plpgsql
set search_path = public, pg_temp
as $$
declare
  _message record;
begin
  select m.sender_id, m.reactions
  into _message
  from messages m
  where m.id = _message_id
    and m.channel_id = _channel_id
    and m.tenant_id = _tenant_id
    and not m.is_deleted;
  if not found or not is_held(_tenant_id, _channel_id, array[_message.sender_id]) then
    return;
  end if;
  insert into held_contents (tenant_id, channel_id, user_id, message_id, kind, data, kept_at)
  select _tenant_id, _channel_id, _message.sender_id, _message_id, k.kind, k.data, now_ms()
  from (
    select
      'MESSAGE' as kind,
      jsonb_strip_nulls(jsonb_build_object(
        'reactions', nullif(_message.reactions, '[]'),
        'votes', (
          select jsonb_agg(jsonb_build_object('userId', v.user_id::text, 'optionId', v.option_id))
          from poll_votes v
          where v.tenant_id = _tenant_id and v.message_id = _message_id
        )
      )) as data
    union all
    select
      'VERSION',
      jsonb_strip_nulls(jsonb_build_object(
        'version', e.version, 'content', e.content, 'mentionUserIds', export_ids(e.mentions), 'metadata', e.metadata,
        'writeTime', export_time(e.created_at),
        'encryptedContent', translate(encode(e.encrypted_content, 'base64'), e'\n', '')
      ))
    from message_edits e
    where e.tenant_id = _tenant_id and e.message_id = _message_id
  ) as k
  where k.data != '{}';
end
$$;
comment on function keep_held_content(bigint, bigint, bigint) is
  'Copies what the deletion of a message is about to remove, if a legal hold concerns the message. Its channel must be locked.';

alter function keep_held_content(bigint, bigint, bigint) owner to discuss_system;
revoke all on function keep_held_content(bigint, bigint, bigint) from public;
