create or replace function pb_varint9(_value bigint) returns bytea
language sql immutable strict parallel safe
return set_byte(set_byte(set_byte(set_byte(set_byte(set_byte(set_byte(set_byte(set_byte('\x000000000000000000'::bytea,
  0, (_value & 127 | 128)::int),
  1, (_value >> 7 & 127 | 128)::int),
  2, (_value >> 14 & 127 | 128)::int),
  3, (_value >> 21 & 127 | 128)::int),
  4, (_value >> 28 & 127 | 128)::int),
  5, (_value >> 35 & 127 | 128)::int),
  6, (_value >> 42 & 127 | 128)::int),
  7, (_value >> 49 & 127 | 128)::int),
  8, (_value >> 56 & 127)::int);
comment on function pb_varint9(bigint) is
  'A number from 0 to 2^63 - 1 as a protobuf varint padded to nine bytes, which every decoder accepts.';
