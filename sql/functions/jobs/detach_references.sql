-- Deleting a message from the default partition would also delete its attachments and activities.
create or replace function detach_references(_from bigint, _to bigint) returns void
language plpgsql
as $$
begin
  lock table attachments, activity_feed in share row exclusive mode;

  create temporary table detached_attachments on commit drop as
  select a.*
  from attachments a
  join messages_default m on m.id = a.message_id
  where m.id >= _from and m.id < _to;

  create temporary table detached_activities on commit drop as
  select a.*
  from activity_feed a
  join messages_default m on m.id = a.message_id
  where m.id >= _from and m.id < _to;
end
$$;
comment on function detach_references(bigint, bigint) is
  'Copies the rows that refer to messages of a range, before those messages are moved out of the default partition.';

revoke all on function detach_references(bigint, bigint) from public;
