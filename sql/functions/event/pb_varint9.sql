-- Places the eight lower groups of seven bits by three operations each, where set_byte() took five and copied the bytes.
create or replace function pb_varint9(_value bigint) returns bytea
language sql immutable strict parallel safe
return int8send(
  (_value << 56 & x'7f00000000000000'::bigint)
  | (_value << 41 & x'007f000000000000'::bigint)
  | (_value << 26 & x'00007f0000000000'::bigint)
  | (_value << 11 & x'0000007f00000000'::bigint)
  | (_value >> 4 & x'000000007f000000'::bigint)
  | (_value >> 19 & x'00000000007f0000'::bigint)
  | (_value >> 34 & x'0000000000007f00'::bigint)
  | (_value >> 49 & x'000000000000007f'::bigint)
  | x'8080808080808080'::bigint
) || set_byte('\x00'::bytea, 0, (_value >> 56)::int);
comment on function pb_varint9(bigint) is
  'A number from 0 to 2^63 - 1 as a protobuf varint padded to nine bytes, which every decoder accepts.';
