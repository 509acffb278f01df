-- One call for a page of channels: with one call of member_ids() per channel, 100 channels of ten members took 12 ms instead
-- of 1 ms.
create or replace function members_of(_channel_ids bigint[])
returns table (channel_id bigint, user_ids bigint[])
language plpgsql stable security definer
set search_path = public, pg_temp
as $$
begin
  return query
  select m.channel_id, array_agg(m.user_id)
  from channel_members me
  join channel_members m
    on m.channel_id = me.channel_id
    and m.tenant_id = me.tenant_id
    and is_member_status(m.status)
  where me.channel_id = any(_channel_ids)
    and me.user_id = app_user_id()
    and me.tenant_id = app_tenant_id()
    and is_member_status(me.status)
  group by m.channel_id;
end
$$;
comment on function members_of(bigint[]) is
  'All members of those of the channels that the caller is a member of. For channels with few members.';

alter function members_of(bigint[]) owner to discuss_system;
revoke all on function members_of(bigint[]) from public;
grant execute on function members_of(bigint[]) to discuss_service;
