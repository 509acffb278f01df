-- The service's own changes have an event, from which index_messages() knows of them.
create or replace function update_message_words() returns trigger
language plpgsql security definer
set search_path = public, pg_temp
as $$
begin
  if tg_op = 'DELETE' then
    delete from message_words w
    where w.message_id in (select r.id from removed r);
  else
    perform index_words(array[new.id]);
  end if;
  return null;
end
$$;
comment on function update_message_words() is
  'Indexes the words of a message that plain SQL inserts or changes, and removes those of removed rows.';

alter function update_message_words() owner to discuss_system;
revoke all on function update_message_words() from public;
