create or replace function list_key_rotations(_before bigint, _limit int) returns setof key_rotations
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  select r.*
  from key_rotations r
  where r.id < _before
  order by r.id desc
  limit _limit;
end;
comment on function list_key_rotations(bigint, int) is 'Rotations of keys before an id, newest first. For operators.';

alter function list_key_rotations(bigint, int) owner to discuss_system;
revoke all on function list_key_rotations(bigint, int) from public;
grant execute on function list_key_rotations(bigint, int) to discuss_service;
