-- Stable, so that all its statements see one snapshot: an event that is appended meanwhile is not taken for a missing one.
create or replace function verify_audit_events(
  _tenant_id bigint,
  _after bigint,
  _limit int,
  out checked int,
  out last_seq bigint,
  out last_hash bytea,
  out is_end boolean,
  out problem text,
  out problem_seq bigint
)
language plpgsql stable security definer
set search_path = public, pg_temp
as $$
declare
  _event audit_events;
  _head audit_heads;
begin
  checked := 0;
  last_seq := _after;
  is_end := false;
  last_hash := '';
  if _after > 0 then
    select e.hash
    into last_hash
    from audit_events e
    where e.tenant_id = _tenant_id and e.seq = _after;
    if not found then
      problem := 'MISSING';
      problem_seq := _after;
      return;
    end if;
  end if;

  for _event in
    select e.*
    from audit_events e
    where e.tenant_id = _tenant_id and e.seq > _after
    order by e.seq
    limit _limit
  loop
    problem := case
      when _event.seq != last_seq + 1 then 'MISSING'
      when _event.hash != audit_hash(
        _event.previous_hash, _event.tenant_id, _event.seq, _event.occurred_at, _event.actor_kind, _event.actor_id,
        _event.action, _event.details
      ) then 'CHANGED'
      when _event.previous_hash != last_hash then 'UNLINKED'
    end;
    if problem is not null then
      problem_seq := last_seq + 1;
      return;
    end if;
    checked := checked + 1;
    last_seq := _event.seq;
    last_hash := _event.hash;
  end loop;
  if checked = _limit then
    return;
  end if;

  is_end := true;
  select h.*
  into _head
  from audit_heads h
  where h.tenant_id = _tenant_id;
  problem := case
    when coalesce(_head.seq, 0) > last_seq then 'MISSING'
    when coalesce(_head.seq, 0) != last_seq or coalesce(_head.hash, '') != last_hash then 'UNLINKED'
  end;
  if problem is not null then
    problem_seq := last_seq + 1;
  end if;
end
$$;
comment on function verify_audit_events(bigint, bigint, int) is
  'Verifies the chain of at most _limit events of an audit log after a number, and at the end of the log that it is the recorded one. problem: CHANGED, an event whose hash is not that of its columns; MISSING, a removed one; UNLINKED, an event that does not follow the one before it, because events were exchanged or replaced with their hashes. problem_seq is the first such event.';

alter function verify_audit_events(bigint, bigint, int) owner to discuss_system;
revoke all on function verify_audit_events(bigint, bigint, int) from public;
grant execute on function verify_audit_events(bigint, bigint, int) to discuss_service;
