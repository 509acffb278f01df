create or replace function start_key_rotation(_tenant_id bigint, _channel_id bigint, _key_id text, _replaces_keys boolean)
returns table (id bigint, started boolean)
language plpgsql security definer
set search_path = public, pg_temp
as $$
#variable_conflict use_column
begin
  perform pg_advisory_xact_lock(hashtext('discuss.key_rotation'));
  return query
  select r.id, false
  from key_rotations r
  where r.finished_at is null;
  if found then
    return;
  end if;
  delete from key_rotations r where r.finished_at < now_ms() - 400 * 86400000::bigint;
  return query
  insert into key_rotations as r (tenant_id, channel_id, key_id, replaces_keys, started_at)
  values (_tenant_id, _channel_id, _key_id, _replaces_keys, now_ms())
  returning r.id, true;
end
$$;
comment on function start_key_rotation(bigint, bigint, text, boolean) is
  'Records a rotation of keys for the job, unless one is in progress, which is returned instead. Removes records of those that ended more than 400 days ago. For operators.';

alter function start_key_rotation(bigint, bigint, text, boolean) owner to discuss_system;
revoke all on function start_key_rotation(bigint, bigint, text, boolean) from public;
grant execute on function start_key_rotation(bigint, bigint, text, boolean) to discuss_service;
