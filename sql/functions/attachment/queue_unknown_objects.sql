create or replace function queue_unknown_objects(_keys text[]) returns int
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
  _queued int;
begin
  if current_setting('app.role', true) is distinct from 'operator' then
    return 0;
  end if;
  insert into object_deletions (tenant_id, s3_key, due_at, created_at)
  select 0, k.key, now_ms(), now_ms()
  from unnest(_keys) as k(key);
  get diagnostics _queued = row_count;
  return _queued;
end
$$;
comment on function queue_unknown_objects(text[]) is
  'Queues objects for deletion that belong to no file. For operators; has no effect for other callers.';

alter function queue_unknown_objects(text[]) owner to discuss_system;
revoke all on function queue_unknown_objects(text[]) from public;
grant execute on function queue_unknown_objects(text[]) to discuss_service;
