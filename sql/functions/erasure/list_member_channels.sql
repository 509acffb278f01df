create or replace function list_member_channels(_tenant_id bigint, _user_id bigint, _after bigint, _limit int)
returns table (channel_id bigint)
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  select m.channel_id
  from (
    select a.channel_id
    from channel_members a
    where a.tenant_id = _tenant_id
      and a.user_id = _user_id
      and a.status in ('ACTIVE', 'MUTED')
    union all
    select f.channel_id
    from channel_members f
    where f.tenant_id = _tenant_id
      and f.user_id = _user_id
      and f.status in ('LEFT', 'REMOVED')
  ) as m
  where m.channel_id > _after
  order by m.channel_id
  limit _limit;
end;
comment on function list_member_channels(bigint, bigint, bigint, int) is
  'Channels after an id of which a user is or was a member, archived and deleted ones included.';

alter function list_member_channels(bigint, bigint, bigint, int) owner to discuss_system;
revoke all on function list_member_channels(bigint, bigint, bigint, int) from public;
grant execute on function list_member_channels(bigint, bigint, bigint, int) to discuss_service;
