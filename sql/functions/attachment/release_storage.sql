create or replace function release_storage() returns trigger
language plpgsql security definer
set search_path = public, pg_temp
as $$
begin
  insert into held_contents (tenant_id, channel_id, user_id, message_id, kind, data, kept_at)
  select
    r.tenant_id, r.channel_id, r.uploader_id, r.message_id, 'FILE',
    jsonb_build_object(
      'id', r.id::text, 'fileName', r.file_name, 'byteCount', r.file_size::text, 'contentType', coalesce(r.file_type, ''),
      'location', r.s3_url, 's3Key', r.s3_key
    ),
    now_ms()
  from removed r
  where r.message_id is not null
    and is_held(r.tenant_id, r.channel_id, array[r.uploader_id]);
  insert into object_deletions (tenant_id, s3_bucket, s3_key, upload_id, due_at, created_at)
  select
    o.tenant_id, o.s3_bucket, o.s3_key, o.upload_id,
    case
      -- Until drop_unheld().
      when exists (
        select
        from removed r
        join held_contents c on c.tenant_id = r.tenant_id and c.channel_id = r.channel_id and c.message_id = r.message_id
        where r.s3_key = o.s3_key
          and c.data ->> 's3Key' = o.s3_key
      ) then 9223372036854775807
      else greatest(o.urls_expire_at, now_ms())
    end,
    now_ms()
  from (
    select r.tenant_id, r.s3_bucket, r.s3_key, r.upload_id, r.urls_expire_at
    from removed r
    union all
    select r.tenant_id, r.s3_bucket, substr(r.thumbnail_url, 7 + length(split_part(r.thumbnail_url, '/', 3))), null, 0
    from removed r
    where r.thumbnail_url like 's3://%/%'
  ) as o;
  -- In the order of reserve_storage().
  perform 1
  from storage_usage u
  where (u.tenant_id, u.user_id) in (
    select d.tenant_id, w.user_id from removed d cross join lateral (values (0::bigint), (d.uploader_id)) as w(user_id)
  )
  order by u.tenant_id, u.user_id
  for update;
  update storage_usage u
  set bytes = greatest(0, u.bytes - r.bytes),
      files = greatest(0, u.files - r.files)
  from (
    select d.tenant_id, w.user_id, sum(d.file_size) as bytes, count(*) as files
    from removed d
    cross join lateral (values (0::bigint), (d.uploader_id)) as w(user_id)
    group by 1, 2
  ) as r
  where u.tenant_id = r.tenant_id and u.user_id = r.user_id;
  return null;
end
$$;
comment on function release_storage() is
  'Trigger function: queues the objects of removed rows for deletion, keeps those of sent files that a legal hold concerns until its release, and subtracts their size from the usage of tenant and user.';

alter function release_storage() owner to discuss_system;
revoke all on function release_storage() from public;
