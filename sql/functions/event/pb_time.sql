create or replace function pb_time(_ms bigint) returns bytea
language sql immutable strict parallel safe
return '\x1a0c08'::bytea || pb_varint5(_ms / 1000) || '\x10'::bytea || pb_varint5(_ms % 1000 * 1000000);
comment on function pb_time(bigint) is
  'Epoch ms as protobuf field 3 of type google.protobuf.Timestamp, in 14 bytes: tag, length, seconds, nanos.';
