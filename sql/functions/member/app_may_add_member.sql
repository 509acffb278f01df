create or replace function app_may_add_member(_channel_id bigint, _user_id bigint) returns boolean
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  select exists (
    select 1
    from channels c
    where c.id = _channel_id
      and c.tenant_id = app_tenant_id()
      and c.deleted_at is null
      and (
        app_is_service()
        -- joins a public group
        or (_user_id = app_user_id() and c.type = 'GROUP' and not c.is_private)
        -- adds the first members of a channel that the caller has just created
        or (
          c.created_by = app_user_id()
          and not exists (select 1 from channel_members cm where cm.channel_id = c.id)
        )
        -- is a member
        or exists (
          select 1
          from channel_members cm
          where cm.channel_id = c.id
            and cm.user_id = app_user_id()
            and is_member_status(cm.status)
        )
      )
  );
end;
comment on function app_may_add_member(bigint, bigint) is
  'Whether the caller may make this user a member of this channel. Statements check roles.';

alter function app_may_add_member(bigint, bigint) owner to discuss_system;
revoke all on function app_may_add_member(bigint, bigint) from public;
grant execute on function app_may_add_member(bigint, bigint) to discuss_service;
