create or replace function repair_orphans(_tenant_id bigint, _after bigint, _to bigint)
returns table (kind text, checked bigint, repaired bigint)
language plpgsql
set search_path = public, pg_temp
as $$
begin
  kind := 'messages.parent_id';
  select count(*)
  into checked
  from messages m
  where m.channel_id > _after
    and (_to is null or m.channel_id <= _to)
    and (_tenant_id = 0 or m.tenant_id = _tenant_id)
    and m.parent_id is not null;
  update messages m
  set parent_id = null
  where m.channel_id > _after
    and (_to is null or m.channel_id <= _to)
    and (_tenant_id = 0 or m.tenant_id = _tenant_id)
    and m.parent_id is not null
    and not exists (select 1 from messages p where p.id = m.parent_id and p.channel_id = m.channel_id);
  get diagnostics repaired = row_count;
  return next;

  kind := 'messages.channel_id';
  select count(*)
  into checked
  from messages m
  where m.channel_id > _after
    and (_to is null or m.channel_id <= _to)
    and (_tenant_id = 0 or m.tenant_id = _tenant_id);
  delete from messages m
  where m.channel_id > _after
    and (_to is null or m.channel_id <= _to)
    and (_tenant_id = 0 or m.tenant_id = _tenant_id)
    and not exists (select 1 from channels c where c.id = m.channel_id and c.tenant_id = m.tenant_id);
  get diagnostics repaired = row_count;
  return next;
end
$$;
comment on function repair_orphans(bigint, bigint, bigint) is
  'Checks the messages of the channels after _after up to _to (null: all later ones): detaches replies to messages that do not exist in their channel, and removes messages of channels that do not exist.';

alter function repair_orphans(bigint, bigint, bigint) owner to discuss_system;
revoke all on function repair_orphans(bigint, bigint, bigint) from public;
