create or replace function list_export_channels(_tenant_id bigint, _user_id bigint, _channel_ids bigint[])
returns table (channel_id bigint)
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  select k.id
  from unnest(_channel_ids) as k(id)
  where not exists (select from channels c where c.id = k.id and c.tenant_id = _tenant_id)
    or exists (
      select
      from channel_members m
      where m.channel_id = k.id
        and m.user_id = _user_id
        and m.tenant_id = _tenant_id
    );
end;
comment on function list_export_channels(bigint, bigint, bigint[]) is
  'Of some channels, those whose exported months the erasure of a user concerns: the user is or was a member, or the channel no longer exists.';

alter function list_export_channels(bigint, bigint, bigint[]) owner to discuss_system;
revoke all on function list_export_channels(bigint, bigint, bigint[]) from public;
grant execute on function list_export_channels(bigint, bigint, bigint[]) to discuss_service;
