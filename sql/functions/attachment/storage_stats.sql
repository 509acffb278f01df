create or replace function storage_stats(_tenant_id bigint)
returns table (bytes bigint, files bigint, pending_scans bigint, queued_deletions bigint)
language plpgsql stable security definer
set search_path = public, pg_temp
as $$
#variable_conflict use_column
begin
  if current_setting('app.role', true) is distinct from 'operator' then
    return;
  end if;
  return query
  select
    coalesce(sum(u.bytes), 0)::bigint,
    coalesce(sum(u.files), 0)::bigint,
    (
      select count(*)
      from attachments a
      where a.scan_status = 'PENDING' and a.upload_state = 'UPLOADED' and (_tenant_id = 0 or a.tenant_id = _tenant_id)
    ),
    (select count(*) from object_deletions d where _tenant_id = 0 or d.tenant_id = _tenant_id)
  from storage_usage u
  where u.user_id = 0
    and (_tenant_id = 0 or u.tenant_id = _tenant_id);
end
$$;
comment on function storage_stats(bigint) is
  'Size and number of the files of a tenant, or of all (0), files that wait for a scan, and objects that wait for deletion. For operators; empty for other callers.';

alter function storage_stats(bigint) owner to discuss_system;
revoke all on function storage_stats(bigint) from public;
grant execute on function storage_stats(bigint) to discuss_service;
