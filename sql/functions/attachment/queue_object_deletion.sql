create or replace function queue_object_deletion(_attachment_id bigint) returns void
language plpgsql security definer
set search_path = public, pg_temp
as $$
begin
  insert into object_deletions (tenant_id, s3_bucket, s3_key, due_at, created_at)
  select a.tenant_id, a.s3_bucket, a.s3_key, greatest(a.urls_expire_at, now_ms()), now_ms()
  from attachments a
  where a.id = _attachment_id
    and a.tenant_id = app_tenant_id();
end
$$;
comment on function queue_object_deletion(bigint) is
  'Queues the object of a file of the caller''s tenant for deletion, before the file gets another object.';

alter function queue_object_deletion(bigint) owner to discuss_system;
revoke all on function queue_object_deletion(bigint) from public;
grant execute on function queue_object_deletion(bigint) to discuss_service;
