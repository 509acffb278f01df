-- The customer's document as it stands: its tables, indexes and row triggers that a message touches, and the view of a
-- user's channels. The only correction, without which it does not run: search_vector is declared once, before its index.

create table channels (
  id bigserial primary key,
  tenant_id bigint not null,
  created_by bigint not null,
  name varchar(255) not null,
  description text,
  type varchar(50) not null,
  entity_type varchar(100),
  entity_id bigint,
  is_private boolean default false,
  is_archived boolean default false,
  member_count int default 0,
  message_count int default 0,
  last_message_at bigint,
  metadata jsonb,
  created_at bigint not null,
  updated_at bigint not null,
  constraint valid_channel_type check (type in ('DIRECT', 'GROUP', 'TOPIC')),
  constraint topic_has_entity check (
    (type = 'TOPIC' and entity_type is not null and entity_id is not null) or (type != 'TOPIC')
  )
);

create index idx_channels_tenant_type on channels (tenant_id, type, is_archived);
create index idx_channels_entity on channels (tenant_id, entity_type, entity_id) where entity_type is not null;
create index idx_channels_created_by on channels (created_by, tenant_id);
create index idx_channels_last_message on channels (tenant_id, last_message_at desc nulls last)
  where is_archived = false;
create unique index idx_direct_channel_unique
  on channels (tenant_id, least(created_by, entity_id), greatest(created_by, entity_id))
  where type = 'DIRECT';

create table messages (
  id bigserial primary key,
  channel_id bigint not null references channels(id) on delete cascade,
  sender_id bigint not null,
  tenant_id bigint not null,
  content text not null,
  message_type varchar(50) default 'TEXT',
  mentions bigint[] default '{}',
  parent_id bigint references messages(id) on delete set null,
  thread_count int default 0,
  is_edited boolean default false,
  edited_at bigint,
  is_deleted boolean default false,
  deleted_at bigint,
  deleted_by bigint,
  reactions jsonb default '[]',
  read_by bigint[] default '{}',
  search_vector tsvector generated always as (to_tsvector('english', content)) stored,
  metadata jsonb,
  created_at bigint not null,
  updated_at bigint not null,
  constraint valid_message_type check (message_type in ('TEXT', 'IMAGE', 'FILE', 'SYSTEM', 'CODE', 'POLL')),
  constraint content_not_empty check (char_length(trim(content)) > 0 or message_type != 'TEXT')
);

create index idx_messages_channel_time on messages (channel_id, created_at desc) where is_deleted = false;
create index idx_messages_sender on messages (tenant_id, sender_id, created_at desc);
create index idx_messages_parent on messages (parent_id) where parent_id is not null;
create index idx_messages_mentions on messages using gin (mentions) where mentions != '{}';
create index idx_messages_search on messages using gin (search_vector);

create table channel_members (
  id bigserial primary key,
  channel_id bigint not null references channels(id) on delete cascade,
  user_id bigint not null,
  tenant_id bigint not null,
  role varchar(50) default 'MEMBER',
  status varchar(50) default 'ACTIVE',
  joined_at bigint not null,
  left_at bigint,
  removed_by bigint,
  last_read_msg_id bigint,
  unread_count int default 0,
  is_muted boolean default false,
  is_pinned boolean default false,
  notification_level varchar(50) default 'ALL',
  metadata jsonb,
  created_at bigint not null,
  updated_at bigint not null,
  constraint valid_role check (role in ('OWNER', 'ADMIN', 'MEMBER', 'GUEST')),
  constraint valid_status check (status in ('ACTIVE', 'MUTED', 'LEFT', 'REMOVED')),
  constraint valid_notification check (notification_level in ('ALL', 'MENTIONS', 'NONE')),
  unique (channel_id, user_id)
);

create index idx_channel_members_user on channel_members (user_id, tenant_id, is_pinned desc, updated_at desc)
  where status = 'ACTIVE';
create index idx_channel_members_channel on channel_members (channel_id, status) where status = 'ACTIVE';
create index idx_channel_members_unread on channel_members (user_id, tenant_id, unread_count desc)
  where unread_count > 0 and status = 'ACTIVE';
create index idx_channel_members_role on channel_members (channel_id, role) where status = 'ACTIVE';

create or replace function update_unread_counts() returns trigger as $$
begin
  update channel_members
  set unread_count = unread_count + 1,
      updated_at = extract(epoch from now()) * 1000
  where channel_id = new.channel_id
    and user_id != new.sender_id
    and status = 'ACTIVE';
  return new;
end;
$$ language plpgsql;

create trigger trigger_update_unread_counts
after insert on messages
for each row
when (new.is_deleted = false)
execute function update_unread_counts();

create or replace function update_channel_stats() returns trigger as $$
begin
  if tg_op = 'INSERT' then
    update channels
    set message_count = message_count + 1,
        last_message_at = new.created_at,
        updated_at = new.created_at
    where id = new.channel_id;
  elsif tg_op = 'DELETE' then
    update channels
    set message_count = greatest(0, message_count - 1),
        updated_at = extract(epoch from now()) * 1000
    where id = old.channel_id;
  end if;
  return null;
end;
$$ language plpgsql;

create trigger trigger_update_channel_stats
after insert or delete on messages
for each row
execute function update_channel_stats();

create or replace function update_member_count() returns trigger as $$
begin
  if tg_op = 'INSERT' and new.status = 'ACTIVE' then
    update channels
    set member_count = member_count + 1
    where id = new.channel_id;
  elsif tg_op = 'UPDATE' and old.status = 'ACTIVE' and new.status != 'ACTIVE' then
    update channels
    set member_count = greatest(0, member_count - 1)
    where id = new.channel_id;
  elsif tg_op = 'DELETE' and old.status = 'ACTIVE' then
    update channels
    set member_count = greatest(0, member_count - 1)
    where id = old.channel_id;
  end if;
  return null;
end;
$$ language plpgsql;

create trigger trigger_update_member_count
after insert or update or delete on channel_members
for each row
execute function update_member_count();

create view user_channels as
select
  cm.user_id,
  cm.tenant_id,
  c.id as channel_id,
  c.name,
  c.type,
  c.entity_type,
  c.entity_id,
  c.last_message_at,
  cm.unread_count,
  cm.is_pinned,
  cm.is_muted,
  cm.role,
  (
    select content
    from messages m
    where m.channel_id = c.id
      and m.is_deleted = false
    order by m.created_at desc
    limit 1
  ) as last_message_preview,
  c.member_count
from channel_members cm
join channels c on c.id = cm.channel_id
where cm.status = 'ACTIVE'
  and c.is_archived = false
order by
  cm.is_pinned desc,
  c.last_message_at desc nulls last;
