create or replace function claim_key_rotation(_instance text, _key_id text, _lease_ms bigint) returns setof key_rotations
language plpgsql security definer
set search_path = public, pg_temp
as $$
begin
  return query
  update key_rotations r
  set instance = _instance,
      attempt = r.attempt + 1,
      lease_until = now_ms() + _lease_ms
  where r.finished_at is null
    and r.key_id = _key_id
    and r.lease_until < now_ms()
  returning r.*;
end
$$;
comment on function claim_key_rotation(text, text, bigint) is
  'Begins or continues the rotation of keys that no instance works on, on an instance whose first key is that of the rotation.';

alter function claim_key_rotation(text, text, bigint) owner to discuss_system;
revoke all on function claim_key_rotation(text, text, bigint) from public;
grant execute on function claim_key_rotation(text, text, bigint) to discuss_service;
