create or replace function put_back_references() returns void
language plpgsql
as $$
declare
  _columns text;
begin
  _columns := partition_columns('attachments');
  execute format('insert into attachments (%s) select %s from pg_temp.put_aside_attachments', _columns, _columns);
  _columns := partition_columns('activity_feed');
  execute format('insert into activity_feed (%s) select %s from pg_temp.put_aside_activities', _columns, _columns);

  update messages m
  set parent_id = r.parent_id
  from pg_temp.put_aside_replies r
  where m.id = r.id
    and m.parent_id is distinct from r.parent_id;

  drop table pg_temp.put_aside_attachments, pg_temp.put_aside_activities, pg_temp.put_aside_replies;
end
$$;
comment on function put_back_references() is
  'Restores what put_aside_references() copied, once the messages are in their partition.';

revoke all on function put_back_references() from public;
