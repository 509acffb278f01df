create or replace function export_ids(_ids bigint[]) returns jsonb
language sql immutable strict parallel safe
return to_jsonb(_ids::text[]);
comment on function export_ids(bigint[]) is
  'Ids as a JSON array of strings.';

revoke all on function export_ids(bigint[]) from public;
grant execute on function export_ids(bigint[]) to discuss_system;
