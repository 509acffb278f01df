create or replace function list_encrypted_rows(_kind text, _channel_id bigint, _prefix bytea, _after bigint, _limit int)
returns table (id bigint, part int, value bytea)
language plpgsql stable security definer
set search_path = public, pg_temp
as $$
#variable_conflict use_column
begin
  case _kind
    when 'messages' then
      return query
      select m.id, 0, case when substr(m.encrypted_content, 1, length(_prefix)) = _prefix then m.encrypted_content end
      from messages m
      where m.channel_id = _channel_id
        and m.id > _after
      order by m.id
      limit _limit;
    when 'message_edits' then
      return query
      select e.message_id, e.version, e.encrypted_content
      from message_edits e
      where e.channel_id = _channel_id
        and e.message_id > _after
        and substr(e.encrypted_content, 1, length(_prefix)) = _prefix
      order by e.message_id
      fetch first _limit rows with ties;
    when 'attachments' then
      return query
      select a.id, 0, a.encrypted_name
      from attachments a
      where a.channel_id = _channel_id
        and a.id > _after
        and substr(a.encrypted_name, 1, length(_prefix)) = _prefix
      order by a.id
      limit _limit;
    when 'channel_events' then
      return query
      select e.seq, 0, e.payload
      from channel_events e
      where e.channel_id = _channel_id
        and e.seq > _after
        and e.kind in ('MESSAGE_CREATED', 'MESSAGE_EDITED', 'POLL_CHANGED', 'ATTACHMENT_CHANGED')
      order by e.seq
      limit _limit;
  end case;
end
$$;
comment on function list_encrypted_rows(text, bigint, bytea, bigint, int) is
  'Rows of a table with content of a channel that begins with _prefix, which contains the id of its data key, after an id: of a message (all its versions together), file or event. To bound the statement, messages with other content are among them, with null, and all events.';

alter function list_encrypted_rows(text, bigint, bytea, bigint, int) owner to discuss_system;
revoke all on function list_encrypted_rows(text, bigint, bytea, bigint, int) from public;
grant execute on function list_encrypted_rows(text, bigint, bytea, bigint, int) to discuss_service;
