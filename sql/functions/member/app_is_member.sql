create or replace function app_is_member(_channel_id bigint) returns boolean
language plpgsql stable security definer
set search_path = public, pg_temp
as $$
begin
  return exists (
    select 1
    from channel_members cm
    where cm.channel_id = _channel_id
      and cm.user_id = app_user_id()
      and cm.tenant_id = app_tenant_id()
      and is_member_status(cm.status)
  );
end
$$;
comment on function app_is_member(bigint) is
  'Whether the caller is a member of the channel. For the policies of channel_members only, which cannot query their own table; there it was 12 to 18 times cheaper than an array of all channels of the caller.';

alter function app_is_member(bigint) owner to discuss_system;
revoke all on function app_is_member(bigint) from public;
grant execute on function app_is_member(bigint) to discuss_service;
