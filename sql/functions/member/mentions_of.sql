-- For a page of 51 channels with 100 unread messages each, the counts took 2.6 ms under row-level security, which checks each
-- message, and take 0.8 ms with one check for each channel.
create or replace function mentions_of(_channel_ids bigint[])
returns table (channel_id bigint, mention_count int)
language plpgsql stable security definer
set search_path = public, pg_temp
-- A plan cached while the tables were small would scan them completely.
set enable_seqscan = off
set jit = off
as $$
declare
  _tenant_id constant bigint := app_tenant_id();
  _user_id constant bigint := app_user_id();
begin
  return query
  select
    me.channel_id,
    (
      select count(*)
      from messages x
      where x.channel_id = me.channel_id
        and x.tenant_id = _tenant_id
        and x.id > coalesce(me.last_read_msg_id, 0)
        and x.sender_id != _user_id
        and not x.is_deleted
        and (x.mentions != '{}' or x.mention_scope = 'CHANNEL')
        and (_user_id = any(x.mentions) or x.mention_scope = 'CHANNEL')
    )::int
  from channel_members me
  where me.channel_id = any(_channel_ids)
    and me.user_id = _user_id
    and me.tenant_id = _tenant_id
    and is_member_status(me.status);
end
$$;
comment on function mentions_of(bigint[]) is
  'Number of unread messages that mention the caller, in those of the channels that the caller is a member of.';

alter function mentions_of(bigint[]) owner to discuss_system;
revoke all on function mentions_of(bigint[]) from public;
grant execute on function mentions_of(bigint[]) to discuss_service;
