create or replace function update_member_count() returns trigger
language plpgsql security definer
set search_path = public, pg_temp
as $$
begin
  if tg_op = 'INSERT' then
    update channels c
    set member_count = c.member_count + s.members
    from (
      select a.channel_id, count(*)::int as members
      from added a
      where is_member_status(a.status)
      group by a.channel_id
    ) as s
    where c.id = s.channel_id;
  elsif tg_op = 'UPDATE' then
    update channels c
    set member_count = greatest(0, c.member_count + is_member_status(new.status)::int - is_member_status(old.status)::int)
    where c.id = new.channel_id;
  else
    update channels c
    set member_count = greatest(0, c.member_count - s.members)
    from (
      select r.channel_id, count(*)::int as members
      from removed r
      where is_member_status(r.status)
      group by r.channel_id
    ) as s
    where c.id = s.channel_id;
  end if;
  return null;
end
$$;
comment on function update_member_count() is
  'Maintains channels.member_count, the members with status ACTIVE or MUTED, at every change of status, rejoining included.';

alter function update_member_count() owner to discuss_system;
revoke all on function update_member_count() from public;
