create or replace function link_attachments(_message_id bigint, _attachments json) returns void
language plpgsql security definer
set search_path = public, pg_temp
as $$
begin
  update attachments a
  set message_id = _message_id,
      position = f.place - 1,
      updated_at = now_ms()
  from json_array_elements(_attachments) with ordinality as f(file, place)
  where a.id = (f.file ->> 'id')::bigint
    and a.message_id is null;
end
$$;
comment on function link_attachments(bigint, json) is
  'Makes files the attachments of a message that was inserted in this transaction, after check_attachments(). Only send_messages() calls it.';

alter function link_attachments(bigint, json) owner to discuss_system;
revoke all on function link_attachments(bigint, json) from public;
