create or replace function patch_message(_payload bytea, _message_offset int, _id bigint, _position bigint, _ms bigint) returns bytea
language sql immutable strict parallel safe
return overlay(
  _payload placing pb_varint9(_id) || '\x10'::bytea || pb_varint9(_position) || pb_time(_ms) from _message_offset + 1
);
comment on function patch_message(bytea, int, bigint, bigint, bigint) is
  'Writes id (field 1), position (field 2) and create_time (field 3) over the placeholders of the Message in an encoded Event; the value of id starts at byte _message_offset.';
