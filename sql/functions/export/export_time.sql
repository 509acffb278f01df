create or replace function export_time(_ms bigint) returns text
language sql stable strict parallel safe
return to_char(to_timestamp(_ms / 1000.0) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');
comment on function export_time(bigint) is
  'Epoch ms as RFC 3339.';

revoke all on function export_time(bigint) from public;
grant execute on function export_time(bigint) to discuss_system;
