create or replace function claim_object_deletions(_limit int, _lease_ms bigint)
returns table (id bigint, s3_key text, upload_id text, attempts int)
language plpgsql security definer
set search_path = public, pg_temp
as $$
#variable_conflict use_column
begin
  return query
  -- Materialized, because a join could evaluate a subquery, and thus its limit, several times.
  with due as materialized (
    select q.id
    from object_deletions q
    where q.due_at <= now_ms()
    order by q.due_at
    limit _limit
    for update skip locked
  )
  update object_deletions d
  set due_at = now_ms() + _lease_ms,
      attempts = d.attempts + 1
  from due
  where d.id = due.id
  returning d.id, d.s3_key::text, d.upload_id, d.attempts;
end
$$;
comment on function claim_object_deletions(int, bigint) is
  'Objects to delete from S3 now, at most _limit. Another call returns them again after _lease_ms, unless finish_object_deletions() removes them.';

alter function claim_object_deletions(int, bigint) owner to discuss_system;
revoke all on function claim_object_deletions(int, bigint) from public;
grant execute on function claim_object_deletions(int, bigint) to discuss_service;
