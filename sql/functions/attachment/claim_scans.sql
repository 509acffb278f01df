create or replace function claim_scans(_limit int, _lease_ms bigint)
returns table (
  id bigint, tenant_id bigint, channel_id bigint, s3_key text, file_type text, file_size bigint, attempts int,
  interruptions int
)
language plpgsql security definer
set search_path = public, pg_temp
as $$
#variable_conflict use_column
begin
  return query
  -- Materialized, because a join could evaluate a subquery, and thus its limit, several times.
  with due as materialized (
    select q.id
    from attachments q
    where q.scan_status = 'PENDING'
      and q.upload_state = 'UPLOADED'
      and q.next_scan_at <= now_ms()
    order by q.next_scan_at, q.id
    limit _limit
    for update skip locked
  )
  update attachments a
  set next_scan_at = now_ms() + _lease_ms,
      scan_attempts = a.scan_attempts + 1
  from due
  where a.id = due.id
  returning
    a.id, a.tenant_id, a.channel_id, a.s3_key::text, a.file_type::text, a.file_size, a.scan_attempts,
    a.scan_interruptions;
end
$$;
comment on function claim_scans(int, bigint) is
  'Files to scan now, at most _limit. Another call returns them again after _lease_ms, unless their scan has ended.';

alter function claim_scans(int, bigint) owner to discuss_system;
revoke all on function claim_scans(int, bigint) from public;
grant execute on function claim_scans(int, bigint) to discuss_service;
