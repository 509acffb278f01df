create or replace function misplaced_keys(p_default text, p_key text, p_span bigint) returns setof bigint
language plpgsql
as $$
declare
  _key bigint;
  _from bigint := 0;
begin
  -- Uses the index to skip from range to range; twelve ranges are enough for one call.
  for _i in 1..12 loop
    execute format('select min(%I) from %I where %I >= $1', p_key, p_default, p_key) into _key using _from;
    exit when _key is null;
    return next _key;
    _from := (_key / p_span + 1) * p_span;
  end loop;
end
$$;
comment on function misplaced_keys(text, text, bigint) is
  'One key of each range of width p_span from which the default partition holds rows.';

revoke all on function misplaced_keys(text, text, bigint) from public;
