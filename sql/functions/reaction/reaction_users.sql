create or replace function reaction_users(_reactions jsonb, _emoji text) returns jsonb
language sql immutable strict parallel safe
return coalesce(
  jsonb_path_query_first(_reactions, '$[*] ? (@.emoji == $emoji).users', jsonb_build_object('emoji', _emoji)),
  '[]'
);
comment on function reaction_users(jsonb, text) is
  'Users with one emoji, in the order in which they added it; an empty array if there are none.';
