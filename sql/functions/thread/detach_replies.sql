create or replace function detach_replies() returns trigger
language plpgsql security definer
set search_path = public, pg_temp
as $$
begin
  update messages m
  set parent_id = null
  where m.parent_id in (select r.id from removed r);
  return null;
end
$$;
comment on function detach_replies() is
  'Makes the replies to removed messages messages of the channel, as "on delete set null" would.';

alter function detach_replies() owner to discuss_system;
revoke all on function detach_replies() from public;
