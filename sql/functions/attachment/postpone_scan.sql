create or replace function postpone_scan(_id bigint, _delay_ms bigint, _cause text) returns void
language plpgsql security definer
set search_path = public, pg_temp
as $$
begin
  update attachments a
  set next_scan_at = now_ms() + _delay_ms,
      scan_attempts = a.scan_attempts - case when _cause = 'FILE' then 0 else 1 end,
      scan_interruptions = a.scan_interruptions + case when _cause = 'INTERRUPTION' then 1 else 0 end
  where a.id = _id
    and a.scan_status = 'PENDING';
end
$$;
comment on function postpone_scan(bigint, bigint, text) is
  'Ends a claim of claim_scans() without a result. _cause is FILE, INTERRUPTION, each of which is counted, or another text.';

alter function postpone_scan(bigint, bigint, text) owner to discuss_system;
revoke all on function postpone_scan(bigint, bigint, text) from public;
grant execute on function postpone_scan(bigint, bigint, text) to discuss_service;
