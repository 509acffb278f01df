-- Notices: what the service itself reports in a channel. Aliases: where the discussion of an entity went.

alter table messages add column notice jsonb;
comment on column messages.notice is
  'What the service itself reports, a SystemNotice of message.proto as JSON: who joined, was removed, ... Such a message is of sender 0 and has no content, which is made of the notice, so that searches do not find it. It counts for nothing but its place in the channel: not as unread, as newest message, or in message_count. null for what somebody posted.';

-- A notice takes the next post_seq like any message, and deleted_posts says at once that it counts for nobody: so
-- positions have no gaps, markers can stand on it, and unread numbers are derived as before.
create or replace function update_unread_counts() returns trigger
language plpgsql security definer
set search_path = public, pg_temp
as $$
begin
  if tg_op = 'DELETE' then
    -- Locks in id order; a channel that is being removed with its messages is gone already.
    perform 1
    from channels c
    where c.id in (select r.channel_id from removed r where not r.is_deleted)
    order by c.id
    for no key update;

    insert into deleted_posts (channel_id, post_seq, tenant_id, sender_id)
    select r.channel_id, r.post_seq, r.tenant_id, r.sender_id
    from removed r
    join channels c on c.id = r.channel_id
    where not r.is_deleted
    on conflict do nothing;

    update channels c
    set unread_version = c.unread_version + 1
    where c.id in (select r.channel_id from removed r where not r.is_deleted);
    return null;
  end if;

  -- A new notice alters no unread number: it raises what is counted, and what is left out, by one.
  if tg_op = 'UPDATE' or new.is_deleted then
    update channels c
    set unread_version = c.unread_version + 1
    where c.id = new.channel_id;
  end if;

  if new.is_deleted or new.notice is not null then
    insert into deleted_posts (channel_id, post_seq, tenant_id, sender_id)
    values (new.channel_id, new.post_seq, new.tenant_id, new.sender_id)
    on conflict do nothing;
  else
    delete from deleted_posts d
    where d.channel_id = new.channel_id
      and d.post_seq = new.post_seq;
  end if;
  return null;
end
$$;
comment on table deleted_posts is
  'Numbers of the messages that count as unread for nobody: deleted, removed for good, or notices. Kept by update_unread_counts(), outlives the message.';

drop trigger trigger_update_unread_counts on messages;
create trigger trigger_update_unread_counts
after insert on messages
for each row
when (new.is_deleted or new.notice is not null)
execute function update_unread_counts();
comment on trigger trigger_update_unread_counts on messages is
  'Notes a message that counts for nobody from the start: a notice, or one inserted as deleted.';

create or replace function update_channel_stats() returns trigger
language plpgsql security definer
set search_path = public, pg_temp
as $$
begin
  if tg_op = 'INSERT' then
    update channels c
    set message_count = c.message_count + s.messages,
        last_message_at = greatest(c.last_message_at, s.last_at),
        updated_at = greatest(c.updated_at, s.last_at),
        unread_version = c.unread_version + 1
    from (
      select p.channel_id, count(*)::int as messages, max(p.created_at) as last_at
      from posted p
      where p.notice is null
      group by p.channel_id
    ) as s
    where c.id = s.channel_id;
  else
    perform 1
    from channels c
    where c.id in (select r.channel_id from removed r)
    order by c.id
    for no key update;

    update channels c
    set message_count = greatest(0, c.message_count - s.messages),
        updated_at = now_ms()
    from (
      select r.channel_id, count(*)::int as messages
      from removed r
      where r.notice is null
      group by r.channel_id
    ) as s
    where c.id = s.channel_id;
  end if;
  return null;
end
$$;
comment on column channels.message_count is
  'Messages not yet removed for good, deleted ones included, notices not; kept by trigger_update_channel_stats.';
comment on column channels.last_message_at is
  'created_at of the newest message that is no notice, epoch ms; never goes back.';
comment on column channels.last_message_id is 'Id of the last message ever posted here, deleted or not, notices included.';

create function post_notice(_channel_id bigint, _notice jsonb, _actor_id bigint, _payload bytea, _seq_at int, _message_at int)
returns table (channel_id bigint, seq bigint, payload bytea)
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
  _channel record;
  _stamped bytea;
begin
  -- The id is taken with the row locked, as in post_messages(): who waits for the row takes another one after that.
  update channels c
  set event_seq = c.event_seq + 1,
      post_seq = c.post_seq + 1,
      last_message_id = nextval('messages_id_seq')
  where c.id = _channel_id and c.tenant_id = app_tenant_id()
  returning
    c.tenant_id, c.event_seq, c.post_seq, c.last_message_id as id, greatest(c.last_message_at, now_ms()) as now
  into _channel;
  if not found then
    raise exception 'post_notice: channel % is not of the tenant', _channel_id using errcode = 'insufficient_privilege';
  end if;
  insert into messages
    (id, channel_id, sender_id, tenant_id, content, message_type, notice,
     post_seq, event_seq, posted_seq, created_at, updated_at)
  values
    (_channel.id, _channel_id, 0, _channel.tenant_id, '', 'SYSTEM', _notice,
     _channel.post_seq, _channel.event_seq, _channel.event_seq, _channel.now, _channel.now);
  _stamped := stamp_event(
    stamp_message(_payload, _message_at, _channel.id, _channel.post_seq, _channel.now),
    _seq_at, _channel.event_seq, _channel.now
  );
  insert into channel_events (channel_id, seq, tenant_id, kind, message_id, actor_id, created_at, payload)
  values
    (_channel_id, _channel.event_seq, _channel.tenant_id, 'MESSAGE_CREATED', _channel.id, _actor_id, _channel.now,
     _stamped);
  return query select _channel_id, _channel.event_seq, _stamped;
end
$$;
comment on function post_notice(bigint, jsonb, bigint, bytea, int, int) is
  'Posts what the service itself reports in a channel of the caller''s tenant, archived or not, and returns its event as logged. Keeps the channel''s row locked until commit. Whether it is true is for the caller to know, as with append_event().';

create or replace function recent_message_count(p_channel_id bigint) returns bigint
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
    and m.notice is null
    and m.created_at > (select now_ms()) - 86400000;
end;
comment on function recent_message_count(bigint) is
  'Messages of the last 24 hours, without deleted ones and notices, in a channel the caller may see; 0 in any other.';

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
  -- The first is one row of one partition; the second, which asks every partition, is for channels
  -- whose last message was deleted or is a notice.
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

-- The discussion of an entity that was converted or merged goes on under another entity.

alter table channels add column merged_into bigint;
comment on column channels.merged_into is
  'The channel in which the discussion of this TOPIC channel goes on since the two were merged; null otherwise. Such a channel is archived for good, and no longer that of its entity.';

create table channel_entity_aliases (
  tenant_id bigint not null,
  entity_type varchar(100) not null,
  entity_id bigint not null,
  channel_id bigint not null references channels(id) on delete cascade,
  created_at bigint not null,

  primary key (tenant_id, entity_type, entity_id)
);

comment on table channel_entity_aliases is
  'Earlier references of TOPIC channels: the entity whose discussion moved, and where it is now. An entity with a channel of its own needs none; one that leads to a deleted channel counts as none. Written with the reference''s advisory lock held, see MoveTopic.';
comment on column channel_entity_aliases.tenant_id is 'Tenant of the channel.';
comment on column channel_entity_aliases.entity_type is 'Kind of the entity.';
comment on column channel_entity_aliases.entity_id is 'The entity.';
comment on column channel_entity_aliases.channel_id is 'The channel its discussion is in now, always the last one of a chain.';
comment on column channel_entity_aliases.created_at is 'When the discussion left the entity, epoch ms.';

-- Aliases of a channel that is merged into another, and the cascade from channels.
create index idx_channel_entity_aliases_channel
  on channel_entity_aliases (channel_id);

grant select, insert, update, delete on channel_entity_aliases to discuss_service, discuss_system;
alter table channel_entity_aliases enable row level security;
alter table channel_entity_aliases force row level security;

create policy system_policy on channel_entity_aliases
to discuss_system
using (true)
with check (true);

create policy alias_access_policy on channel_entity_aliases
for select to discuss_service
using (
  tenant_id = (select app_tenant_id())
  and (
    (select app_is_service())
    or (
      select cm.status in ('ACTIVE', 'MUTED')
      from channel_members cm
      where cm.channel_id = channel_entity_aliases.channel_id
        and cm.user_id = (select app_user_id())
    )
  )
);

create policy alias_change_policy on channel_entity_aliases
to discuss_service
using (tenant_id = (select app_tenant_id()) and (select app_is_service()))
with check (tenant_id = (select app_tenant_id()) and (select app_is_service()));

drop index idx_topic_channel_unique;
create unique index idx_topic_channel_unique
  on channels (tenant_id, entity_type, entity_id)
  where type = 'TOPIC' and deleted_at is null and merged_into is null;

do $$
declare
  _function text;
begin
  foreach _function in array array['post_notice(bigint, jsonb, bigint, bytea, int, int)'] loop
    execute format('alter function %s owner to discuss_system', _function);
    execute format('revoke all on function %s from public', _function);
    execute format('grant execute on function %s to discuss_service', _function);
  end loop;
end
$$;
