create or replace function apply_reaction(_reactions jsonb, _emoji text, _user_id bigint, _added boolean) returns jsonb
language sql immutable parallel safe
return case
  when not _added then (
    select coalesce(jsonb_agg(r.reaction order by r.nth), '[]')
    from (
      select
        t.nth,
        case
          when t.reaction ->> 'emoji' = _emoji then jsonb_build_object(
            'emoji', _emoji,
            'users', (
              select coalesce(jsonb_agg(u.id order by u.place), '[]')
              from jsonb_array_elements(t.reaction -> 'users') with ordinality as u(id, place)
              where u.id != to_jsonb(_user_id)
            )
          )
          else t.reaction
        end as reaction
      from jsonb_array_elements(_reactions) with ordinality as t(reaction, nth)
    ) as r
    where r.reaction -> 'users' != '[]'
  )
  when not _reactions @> jsonb_build_array(jsonb_build_object('emoji', _emoji))
    then _reactions || jsonb_build_array(jsonb_build_object('emoji', _emoji, 'users', jsonb_build_array(_user_id)))
  else (
    select jsonb_agg(
      case
        when t.reaction ->> 'emoji' = _emoji and not t.reaction -> 'users' @> to_jsonb(_user_id)
          then jsonb_build_object('emoji', _emoji, 'users', (t.reaction -> 'users') || to_jsonb(_user_id))
        else t.reaction
      end
      order by t.nth
    )
    from jsonb_array_elements(_reactions) with ordinality as t(reaction, nth)
  )
end;
comment on function apply_reaction(jsonb, text, bigint, boolean) is
  'Reactions [{"emoji": "...", "users": [1, 2]}] after one user''s reaction was added or removed; unchanged if there is nothing to do. Emoji and users remain in the order in which they were added.';
