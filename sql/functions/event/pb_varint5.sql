-- As in pb_varint9().
create or replace function pb_varint5(_value bigint) returns bytea
language sql immutable strict parallel safe
return substring(
  int8send(
    (_value << 56 & x'7f00000000000000'::bigint)
    | (_value << 41 & x'007f000000000000'::bigint)
    | (_value << 26 & x'00007f0000000000'::bigint)
    | (_value << 11 & x'0000007f00000000'::bigint)
    | (_value >> 4 & x'000000007f000000'::bigint)
    | x'8080808000000000'::bigint
  ) from 1 for 5
);
comment on function pb_varint5(bigint) is
  'A number below 2^35 as a protobuf varint padded to five bytes, which every decoder accepts.';
