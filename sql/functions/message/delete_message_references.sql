create or replace function delete_message_references() returns trigger
language plpgsql security definer
set search_path = public, pg_temp
as $$
begin
  delete from attachments a
  where a.message_id in (select r.id from removed r);
  delete from activity_feed a
  where a.message_id in (select r.id from removed r);
  return null;
end
$$;
comment on function delete_message_references() is
  'Removes the files and activities of removed messages, as "on delete cascade" would.';

alter function delete_message_references() owner to discuss_system;
revoke all on function delete_message_references() from public;
