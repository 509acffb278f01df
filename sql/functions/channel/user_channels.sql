create or replace view user_channels
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
  -- The first reads one row of one partition. The second searches every partition, and is needed only if the last message
  -- was deleted or is a notice.
  coalesce(
    (
      select m.content
      from messages m
      where m.id = c.last_message_id
        and m.is_deleted = false
        and m.notice is null
    ),
    (
      select m.content
      from messages m
      where m.channel_id = c.id
        and m.is_deleted = false
        and m.notice is null
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
  'The channels of each user with the exact unread count and a preview of the last message.';

grant select on user_channels to discuss_service;
