create or replace function replace_encrypted_rows(
  _kind text, _channel_id bigint, _ids bigint[], _parts int[], _olds bytea[], _news bytea[]
) returns int
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
  _replaced int;
begin
  perform from channels c where c.id = _channel_id for no key update;
  case _kind
    when 'messages' then
      update messages m
      set encrypted_content = r.new
      from unnest(_ids, _olds, _news) as r(id, old, new)
      where m.id = r.id and m.channel_id = _channel_id and m.encrypted_content = r.old;
      get diagnostics _replaced = row_count;
      -- Cached pages contain the old content.
      update channels c set unread_version = c.unread_version + 1 where c.id = _channel_id and _replaced > 0;
    when 'message_edits' then
      update message_edits e
      set encrypted_content = r.new
      from unnest(_ids, _parts, _olds, _news) as r(id, part, old, new)
      where e.message_id = r.id and e.version = r.part and e.channel_id = _channel_id and e.encrypted_content = r.old;
      get diagnostics _replaced = row_count;
    when 'attachments' then
      update attachments a
      set encrypted_name = r.new
      from unnest(_ids, _olds, _news) as r(id, old, new)
      where a.id = r.id and a.channel_id = _channel_id and a.encrypted_name = r.old;
      get diagnostics _replaced = row_count;
      update channels c set unread_version = c.unread_version + 1 where c.id = _channel_id and _replaced > 0;
    when 'channel_events' then
      update channel_events e
      set payload = r.new
      from unnest(_ids, _olds, _news) as r(id, old, new)
      where e.channel_id = _channel_id and e.seq = r.id and e.payload = r.old;
      get diagnostics _replaced = row_count;
  end case;
  return _replaced;
end
$$;
comment on function replace_encrypted_rows(text, bigint, bigint[], int[], bytea[], bytea[]) is
  'Replaces rows of list_encrypted_rows() that have not changed since, and returns their number.';

alter function replace_encrypted_rows(text, bigint, bigint[], int[], bytea[], bytea[]) owner to discuss_system;
revoke all on function replace_encrypted_rows(text, bigint, bigint[], int[], bytea[], bytea[]) from public;
grant execute on function replace_encrypted_rows(text, bigint, bigint[], int[], bytea[], bytea[]) to discuss_service;
