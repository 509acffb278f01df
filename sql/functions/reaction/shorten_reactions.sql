-- PostgreSQL inlines this function, as it is not strict and has no sub-select. For a page of 50 messages, calling it took 500 µs
-- of the statement's 900.
create or replace function shorten_reactions(_reactions jsonb) returns text
language sql immutable parallel safe
return case
  when _reactions @? '$[*].users[20]' then truncate_reactions(_reactions)
  else _reactions::text
end;
comment on function shorten_reactions(jsonb) is
  'Reactions as JSON text, with the first 20 users of each emoji; count is the number of users where there are more.';
