create or replace function patch_reaction(_payload bytea, _count bigint, _next_user_id bigint) returns bytea
language sql immutable strict parallel safe
return overlay(
  _payload placing pb_varint5(_count) || '\x30'::bytea || pb_varint9(_next_user_id) from length(_payload) - 14
);
comment on function patch_reaction(bytea, bigint, bigint) is
  'Writes count (field 5) and next_user_id (field 6) over the placeholders at the end of an encoded ReactionChanged event. These must stay its last bytes.';
