create or replace function postpone_scan(_id bigint, _delay_ms bigint, _counts boolean) returns void
language plpgsql security definer
set search_path = public, pg_temp
as $$
begin
  update attachments a
  set next_scan_at = now_ms() + _delay_ms,
      scan_attempts = a.scan_attempts - case when _counts then 0 else 1 end
  where a.id = _id
    and a.scan_status = 'PENDING';
end
$$;
comment on function postpone_scan(bigint, bigint, boolean) is
  'Ends a claim of claim_scans() without a result. The attempt is not counted if the failure is not one of the file.';

alter function postpone_scan(bigint, bigint, boolean) owner to discuss_system;
revoke all on function postpone_scan(bigint, bigint, boolean) from public;
grant execute on function postpone_scan(bigint, bigint, boolean) to discuss_service;
