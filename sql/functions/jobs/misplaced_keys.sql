create or replace function misplaced_keys(_default text, _key text, _span bigint) returns setof bigint
language plpgsql
as $$
declare
  _lowest bigint;
  _from bigint := 0;
begin
  -- Uses the index to skip from range to range; twelve ranges are enough for one call.
  for _i in 1..12 loop
    execute format('select min(%I) from %I where %I >= $1', _key, _default, _key) into _lowest using _from;
    exit when _lowest is null;
    return next _lowest;
    _from := (_lowest / _span + 1) * _span;
  end loop;
end
$$;
comment on function misplaced_keys(text, text, bigint) is
  'One key of each range of width _span from which the default partition holds rows.';

revoke all on function misplaced_keys(text, text, bigint) from public;
