create or replace function member_ids(_channel_id bigint, _after bigint, _limit int) returns bigint[]
language plpgsql stable security definer
set search_path = public, pg_temp
as $$
begin
  if not exists (
    select 1
    from channels c
    where c.id = _channel_id
      and c.tenant_id = app_tenant_id()
      and c.deleted_at is null
  ) then
    return null;
  end if;
  -- A service that acts for a user has the rights of that user only.
  if not app_is_member(_channel_id) and not (app_is_service() and app_user_id() = 0) then
    return null;
  end if;
  return array(
    select m.user_id
    from channel_members m
    where m.channel_id = _channel_id
      and m.tenant_id = app_tenant_id()
      and is_member_status(m.status)
      and m.user_id > _after
    order by m.user_id
    limit _limit
  );
end
$$;
comment on function member_ids(bigint, bigint, int) is
  'The next members of a channel in the order of user ids; null if the caller is neither a member nor a service. Checks that once, where the policy of channel_members would check each row.';

alter function member_ids(bigint, bigint, int) owner to discuss_system;
revoke all on function member_ids(bigint, bigint, int) from public;
grant execute on function member_ids(bigint, bigint, int) to discuss_service;
