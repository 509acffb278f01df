-- Security definer, because writers have no rights on the copy. As a separate statement, its delete sees what a batch of
-- copy_moving_rows() has committed while the writer waited for the row.
create or replace function mirror_moving_row() returns trigger
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
  _copy constant text := tg_argv[0];
begin
  if tg_op != 'INSERT' then
    execute format('delete from %I c where %s', _copy, tg_argv[1]) using old;
  end if;
  if tg_op != 'DELETE' then
    execute format('insert into %I (%s) select %s', _copy, tg_argv[2], tg_argv[3]) using new;
  end if;
  return null;
end
$$;
comment on function mirror_moving_row() is
  'Trigger function of a default partition whose rows are being moved: applies each change to the copy. Arguments: the copy, the condition of its primary key, its columns, and their values.';

revoke all on function mirror_moving_row() from public;
