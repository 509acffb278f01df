create or replace function delete_channel_messages() returns trigger
language plpgsql security definer
set search_path = public, pg_temp
as $$
begin
  delete from messages m
  where m.channel_id in (select r.id from removed r);
  return null;
end
$$;
comment on function delete_channel_messages() is
  'Removes the messages of removed channels, as "on delete cascade" would.';

alter function delete_channel_messages() owner to discuss_system;
revoke all on function delete_channel_messages() from public;
