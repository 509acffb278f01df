create or replace function shorten_reactions(_reactions jsonb) returns text
language sql immutable strict parallel safe
return case
  when not _reactions @? '$[*].users[20]' then _reactions::text
  else (
    select jsonb_agg(
      case
        when jsonb_array_length(t.reaction -> 'users') <= 20 then t.reaction
        else jsonb_build_object(
          'emoji', t.reaction -> 'emoji',
          'users', jsonb_path_query_array(t.reaction -> 'users', '$[0 to 19]'),
          'count', jsonb_array_length(t.reaction -> 'users')
        )
      end
      order by t.nth
    )::text
    from jsonb_array_elements(_reactions) with ordinality as t(reaction, nth)
  )
end;
comment on function shorten_reactions(jsonb) is
  'Reactions as JSON text, with the first 20 users of each emoji; count is the number of users where there are more.';
