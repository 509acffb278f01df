create or replace function patch_thread(_payload bytea, _replies bigint, _users bigint) returns bytea
language sql immutable strict parallel safe
return overlay(
  _payload placing pb_varint5(_replies) || '\x20'::bytea || pb_varint5(_users) from length(_payload) - 10
);
comment on function patch_thread(bytea, bigint, bigint) is
  'Writes thread_reply_count (field 3) and thread_participant_count (field 4) over the placeholders at the end of an encoded MessageCreated event of a reply. These must stay its last bytes.';
