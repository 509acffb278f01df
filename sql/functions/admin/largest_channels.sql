create or replace function largest_channels(_tenant_id bigint, _limit int)
returns table (channel_id bigint, messages int, members int)
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  select c.id, c.message_count, c.member_count
  from channels c
  where c.tenant_id = _tenant_id
    and c.deleted_at is null
    and current_setting('app.role', true) = 'operator'
  order by c.message_count desc, c.id
  limit _limit;
end;
comment on function largest_channels(bigint, int) is
  'The channels of a tenant with the most messages. For operators; empty for other callers.';

alter function largest_channels(bigint, int) owner to discuss_system;
revoke all on function largest_channels(bigint, int) from public;
grant execute on function largest_channels(bigint, int) to discuss_service;
