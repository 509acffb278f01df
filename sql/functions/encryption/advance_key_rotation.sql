create or replace function advance_key_rotation(
  _id bigint, _attempt int, _phase text, _key_cursor bigint, _row_kind text, _row_cursor bigint, _rewrapped int,
  _replaced int, _reencrypted int, _failed int, _lease_ms bigint, _is_end boolean
) returns void
language plpgsql security definer
set search_path = public, pg_temp
as $$
begin
  update key_rotations r
  set phase = _phase,
      key_cursor = _key_cursor,
      row_kind = _row_kind,
      row_cursor = _row_cursor,
      rewrapped = r.rewrapped + _rewrapped,
      replaced = r.replaced + _replaced,
      reencrypted = r.reencrypted + _reencrypted,
      failed = r.failed + _failed,
      lease_until = now_ms() + _lease_ms,
      finished_at = case when _is_end then now_ms() end
  where r.id = _id
    and r.attempt = _attempt
    and r.finished_at is null;
  if not found then
    raise exception 'another instance works on the rotation of keys' using errcode = 'serialization_failure';
  end if;
end
$$;
comment on function advance_key_rotation(bigint, int, text, bigint, text, bigint, int, int, int, int, bigint, boolean) is
  'Stores how far a rotation of keys has come, adds to its counts, and extends its lease; _is_end: ends it. Fails if another instance continues it.';

alter function advance_key_rotation(bigint, int, text, bigint, text, bigint, int, int, int, int, bigint, boolean) owner to discuss_system;
revoke all on function advance_key_rotation(bigint, int, text, bigint, text, bigint, int, int, int, int, bigint, boolean) from public;
grant execute on function advance_key_rotation(bigint, int, text, bigint, text, bigint, int, int, int, int, bigint, boolean) to discuss_service;
