create or replace function list_object_keys(_bucket text, _after text, _last text, _limit int)
returns table (key text, is_required boolean, attachment_id bigint)
language plpgsql stable security definer
set search_path = public, pg_temp
as $$
#variable_conflict use_column
declare
  _prefix constant text := 's3://' || _bucket || '/';
begin
  if current_setting('app.role', true) is distinct from 'operator' then
    return;
  end if;
  return query
  select k.key, bool_or(k.is_required), max(k.attachment_id)
  from (
    (
      select a.s3_key::text as key, a.upload_state = 'UPLOADED' as is_required, a.id as attachment_id
      from attachments a
      where a.s3_key collate "C" > _after
        and (_last is null or a.s3_key collate "C" <= _last)
      order by a.s3_key collate "C"
      limit _limit
    )
    union all
    (
      select substr(a.thumbnail_url, length(_prefix) + 1), true, a.id
      from attachments a
      where a.thumbnail_url collate "C" > _prefix || _after
        and (_last is null or a.thumbnail_url collate "C" <= _prefix || _last)
      order by a.thumbnail_url collate "C"
      limit _limit
    )
    union all
    (
      select d.s3_key::text, false, null
      from object_deletions d
      where d.s3_key collate "C" > _after
        and (_last is null or d.s3_key collate "C" <= _last)
      order by d.s3_key collate "C"
      limit _limit
    )
  ) as k
  group by k.key
  order by k.key collate "C"
  limit _limit;
end
$$;
comment on function list_object_keys(text, text, text, int) is
  'Keys of the objects of all tenants that the database knows of, with _after < key <= _last (null for no bound), in the order of bytes, at most _limit; and whether the object must exist: not during its upload, and not while it is queued for deletion. For operators; empty for other callers.';

alter function list_object_keys(text, text, text, int) owner to discuss_system;
revoke all on function list_object_keys(text, text, text, int) from public;
grant execute on function list_object_keys(text, text, text, int) to discuss_service;
