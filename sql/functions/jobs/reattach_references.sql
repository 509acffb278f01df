create or replace function reattach_references() returns void
language plpgsql
as $$
declare
  _columns text;
begin
  _columns := partition_columns('attachments');
  execute format('insert into attachments (%s) select %s from pg_temp.detached_attachments', _columns, _columns);
  _columns := partition_columns('activity_feed');
  execute format('insert into activity_feed (%s) select %s from pg_temp.detached_activities', _columns, _columns);

  drop table pg_temp.detached_attachments, pg_temp.detached_activities;
end
$$;
comment on function reattach_references() is
  'Restores the rows that detach_references() copied, after the messages were moved to their partition.';

revoke all on function reattach_references() from public;
