create or replace function put_reaction(_reactions jsonb, _emoji text, _users bigint[]) returns jsonb
language sql immutable parallel safe
return (
  select coalesce(
    jsonb_agg(
      case
        when t.reaction ->> 'emoji' = _emoji then jsonb_build_object('emoji', _emoji, 'users', _users)
        else t.reaction
      end
      order by t.nth
    ),
    '[]'
  )
  from jsonb_array_elements(_reactions) with ordinality as t(reaction, nth)
  where t.reaction ->> 'emoji' != _emoji or _users != '{}'
) || case
  when _users = '{}' or _reactions @> jsonb_build_array(jsonb_build_object('emoji', _emoji)) then '[]'
  else jsonb_build_array(jsonb_build_object('emoji', _emoji, 'users', _users))
end;
comment on function put_reaction(jsonb, text, bigint[]) is
  'Reactions [{"emoji": "...", "users": [1, 2]}] with these users of an emoji: in its place, at the end if it is new, or without it if there are no users.';
