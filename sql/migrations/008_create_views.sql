-- security_invoker: a view must not show more than its reader may see in the tables.
create view user_channels
with (security_invoker = true) as
select
  cm.user_id,
  cm.tenant_id,
  c.id as channel_id,
  c.name,
  c.type,
  c.entity_type,
  c.entity_id,
  c.last_message_at,
  greatest(
    0,
    c.post_seq
    - cm.read_post_seq
    - (cm.own_posts - cm.own_posts_read)
    - (
      select count(*)
      from deleted_posts d
      where d.channel_id = c.id
        and d.post_seq > cm.read_post_seq
        and d.sender_id != cm.user_id
    )
  )::int as unread_count,
  cm.is_pinned,
  cm.is_muted,
  cm.role,
  -- The first is one row of one partition; the second, which asks every partition, is for channels
  -- whose last message was deleted.
  coalesce(
    (
      select m.content
      from messages m
      where m.id = c.last_message_id
        and m.is_deleted = false
    ),
    (
      select m.content
      from messages m
      where m.channel_id = c.id
        and m.is_deleted = false
      order by m.id desc
      limit 1
    )
  ) as last_message_preview,
  c.member_count
from channel_members cm
join channels c on c.id = cm.channel_id
where cm.status = 'ACTIVE'
  and c.is_archived = false
  and c.deleted_at is null
order by
  cm.is_pinned desc,
  c.last_message_at desc nulls last;
comment on view user_channels is
  'The channels of each user with unread number and preview; unread_count is the exact number.';

-- Counting is done for the reader, who sees a public channel but not its messages.
create function recent_message_count(p_channel_id bigint) returns bigint
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  select count(*)
  from channels c
  join messages m on m.channel_id = c.id
  where c.id = p_channel_id
    and c.tenant_id = app_tenant_id()
    and (
      app_is_service()
      or (c.type = 'GROUP' and not c.is_private)
      or exists (
        select 1
        from channel_members cm
        where cm.channel_id = c.id
          and cm.user_id = app_user_id()
          and cm.status in ('ACTIVE', 'MUTED')
      )
    )
    and m.is_deleted = false
    and m.created_at > (select now_ms()) - 86400000;
end;
comment on function recent_message_count(bigint) is
  'Messages of the last 24 hours, without deleted ones, in a channel the caller may see; 0 in any other.';

create view trending_channels
with (security_invoker = true) as
select
  r.id,
  r.tenant_id,
  r.name,
  r.type,
  r.member_count,
  r.message_count,
  r.recent_message_count
from (
  select
    n.*,
    row_number() over (partition by n.tenant_id order by n.recent_message_count desc, n.id) as place
  from (
    select
      c.id,
      c.tenant_id,
      c.name,
      c.type,
      c.member_count,
      c.message_count,
      recent_message_count(c.id) as recent_message_count
    from channels c
    where c.is_archived = false
      and c.deleted_at is null
      and c.type = 'GROUP'
  ) as n
) as r
where r.place <= 100
order by r.recent_message_count desc;
comment on view trending_channels is
  'The 100 groups of each tenant with the most messages in the last 24 hours.';
