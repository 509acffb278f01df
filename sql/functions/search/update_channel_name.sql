create or replace function update_channel_name() returns trigger
language plpgsql security definer
set search_path = public, pg_temp
as $$
begin
  insert into channel_names (channel_id, tenant_id, name)
  values (new.id, new.tenant_id, search_name(new.name))
  on conflict (channel_id) do update set name = excluded.name;
  return null;
end
$$;
comment on function update_channel_name() is 'Maintains channel_names, which SearchChannels reads.';

alter function update_channel_name() owner to discuss_system;
revoke all on function update_channel_name() from public;
