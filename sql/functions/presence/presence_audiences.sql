create or replace function presence_audiences(
  _tenant_ids bigint[],
  _user_ids bigint[],
  _max_members int,
  _max_channels int
)
returns table (tenant_id bigint, user_id bigint, channel_ids bigint[], status_text text, expires_at bigint)
language plpgsql stable security definer
set search_path = public, pg_temp
as $$
begin
  return query
  select
    u.tenant_id, u.user_id,
    array(
      select m.channel_id
      from channel_members m
      join channels c on c.id = m.channel_id and c.tenant_id = m.tenant_id
      where m.tenant_id = u.tenant_id
        and m.user_id = u.user_id
        and is_member_status(m.status)
        and c.deleted_at is null
        and (c.type = 'DIRECT' or c.member_count <= _max_members)
      limit _max_channels
    ),
    s.status_text::text, s.expires_at
  from unnest(_tenant_ids, _user_ids) as u(tenant_id, user_id)
  left join user_statuses s
    on s.tenant_id = u.tenant_id
    and s.user_id = u.user_id
    and s.status_text != ''
    and (s.expires_at is null or s.expires_at > now_ms());
end
$$;
comment on function presence_audiences(bigint[], bigint[], int, int) is
  'For users of any tenants, the channels whose members are notified of their presence: those with at most _max_members members, and all DIRECT ones, at most _max_channels per user; and the texts that they set. One call serves one broadcast.';

alter function presence_audiences(bigint[], bigint[], int, int) owner to discuss_system;
revoke all on function presence_audiences(bigint[], bigint[], int, int) from public;
grant execute on function presence_audiences(bigint[], bigint[], int, int) to discuss_service;
