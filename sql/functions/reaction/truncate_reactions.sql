create or replace function truncate_reactions(_reactions jsonb) returns text
language sql immutable parallel safe
return (
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
);
comment on function truncate_reactions(jsonb) is
  'Reactions of which one has more than 20 users, for shorten_reactions().';
