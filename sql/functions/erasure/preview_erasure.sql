create or replace function preview_erasure(
  _tenant_id bigint,
  _user_id bigint,
  _limit int,
  out hold_id bigint,
  out channels bigint,
  out messages bigint,
  out activities bigint,
  out uploads bigint
)
language plpgsql stable security definer
set search_path = public, pg_temp
as $$
declare
  _channel_ids bigint[];
begin
  select coalesce(array_agg(m.channel_id), '{}'), count(*), coalesce(sum(m.own_posts), 0)
  into _channel_ids, channels, messages
  from channel_members m
  where m.tenant_id = _tenant_id
    and m.user_id = _user_id
    and m.channel_id = any (array(select c.channel_id from list_member_channels(_tenant_id, _user_id, 0, 1000000) as c));
  hold_id := find_hold(_tenant_id, _channel_ids, array[_user_id]);
  select count(*)
  into activities
  from (
    select from activity_feed a where a.tenant_id = _tenant_id and a.user_id = _user_id limit _limit
  ) as a;
  select count(*)
  into uploads
  from attachments a
  where a.tenant_id = _tenant_id
    and a.uploader_id = _user_id
    and a.message_id is null;
end
$$;
comment on function preview_erasure(bigint, bigint, int) is
  'The legal hold that prevents the erasure of a user, if there is one, and what it would erase: at most _limit activities of the feed of the user.';

alter function preview_erasure(bigint, bigint, int) owner to discuss_system;
revoke all on function preview_erasure(bigint, bigint, int) from public;
grant execute on function preview_erasure(bigint, bigint, int) to discuss_service;
