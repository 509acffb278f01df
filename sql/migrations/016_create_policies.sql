\ir ../functions/db/app_tenant_id.sql
\ir ../functions/db/app_user_id.sql
\ir ../functions/db/app_is_service.sql
\ir ../functions/db/now_ms.sql
\ir ../functions/member/is_restricted.sql
\ir ../functions/member/app_is_member.sql
\ir ../functions/member/app_may_add_member.sql

-- Policies are the second line of defence: they separate tenants and memberships. Statements check what a caller may do
-- inside a channel. The sub-selects make PostgreSQL read each setting once per statement. Membership is a scalar sub-select
-- instead of exists(), which the planner turns into a hash of all the caller's channels: a page of history took 2.5 ms with
-- 200 channels and 6.1 ms with 6,200; as a scalar it takes 0.45 ms.
do $$
declare
  _table text;
begin
  foreach _table in array array[
    'channels', 'channel_members', 'messages', 'deleted_posts', 'attachments', 'activity_feed',
    'channel_events', 'event_log_state', 'idempotency_keys', 'message_edits', 'thread_followers', 'poll_votes',
    'channel_names', 'search_words', 'message_words', 'channel_entity_aliases', 'user_statuses', 'storage_usage',
    'object_deletions', 'pending_activities', 'schema_migrations'
  ] loop
    execute format('alter table %I enable row level security', _table);
    execute format('alter table %I force row level security', _table);
    if _table != 'schema_migrations' then
      execute format('create policy system_policy on %I to discuss_system using (true) with check (true)', _table);
    end if;
  end loop;
end
$$;

create policy owner_policy on schema_migrations
to current_user
using (true)
with check (true);

create policy channel_access_policy on channels
for select to discuss_service
using (
  tenant_id = (select app_tenant_id())
  and (
    (select app_is_service())
    or (type = 'GROUP' and not is_private)
    or (
      select is_member_status(cm.status)
      from channel_members cm
      where cm.channel_id = channels.id
        and cm.user_id = (select app_user_id())
    )
  )
);

create policy channel_insert_policy on channels
for insert to discuss_service
with check (
  tenant_id = (select app_tenant_id())
  and ((select app_is_service()) or created_by = (select app_user_id()))
);

create policy channel_update_policy on channels
for update to discuss_service
using (
  tenant_id = (select app_tenant_id())
  and (
    (select app_is_service())
    or (
      select is_member_status(cm.status)
      from channel_members cm
      where cm.channel_id = channels.id
        and cm.user_id = (select app_user_id())
    )
  )
);

-- The caller's own row comes first, because the other policies read it.
create policy member_access_policy on channel_members
for select to discuss_service
using (
  tenant_id = (select app_tenant_id())
  and (
    user_id = (select app_user_id())
    or (select app_is_service())
    or app_is_member(channel_id)
  )
);

create policy member_insert_policy on channel_members
for insert to discuss_service
with check (
  tenant_id = (select app_tenant_id())
  and app_may_add_member(channel_id, user_id)
);

-- A removed user changes the own row only to join again, where that is allowed.
create policy member_update_policy on channel_members
for update to discuss_service
using (
  tenant_id = (select app_tenant_id())
  and (
    (user_id = (select app_user_id()) and (is_member_status(status) or app_may_add_member(channel_id, user_id)))
    or (select app_is_service())
    or app_is_member(channel_id)
  )
)
with check (
  tenant_id = (select app_tenant_id())
  and (
    user_id = (select app_user_id())
    or (select app_is_service())
    or app_is_member(channel_id)
  )
);

create policy message_access_policy on messages
for select to discuss_service
using (
  tenant_id = (select app_tenant_id())
  and (
    (select app_is_service())
    or (
      select is_member_status(cm.status)
      from channel_members cm
      where cm.channel_id = messages.channel_id
        and cm.user_id = (select app_user_id())
    )
  )
);

create policy message_insert_policy on messages
for insert to discuss_service
with check (
  tenant_id = (select app_tenant_id())
  and (
    exists (
      select 1
      from channel_members cm
      where cm.channel_id = messages.channel_id
        and cm.tenant_id = messages.tenant_id
        and cm.user_id = messages.sender_id
        and cm.user_id = (select app_user_id())
        and is_member_status(cm.status)
        and not is_restricted(cm.status, cm.restricted_until)
    )
    or (
      (select app_is_service())
      and exists (
        select 1
        from channels c
        where c.id = messages.channel_id
          and c.tenant_id = messages.tenant_id
      )
    )
  )
);

create policy message_update_policy on messages
for update to discuss_service
using (
  tenant_id = (select app_tenant_id())
  and (
    (select app_is_service())
    or (
      select is_member_status(cm.status)
      from channel_members cm
      where cm.channel_id = messages.channel_id
        and cm.user_id = (select app_user_id())
    )
  )
);

create policy deleted_post_access_policy on deleted_posts
for select to discuss_service
using (
  tenant_id = (select app_tenant_id())
  and (
    (select app_is_service())
    or (
      select is_member_status(cm.status)
      from channel_members cm
      where cm.channel_id = deleted_posts.channel_id
        and cm.user_id = (select app_user_id())
    )
  )
);

-- An upload that was not sent yet is visible to its uploader only.
create policy attachment_access_policy on attachments
to discuss_service
using (
  tenant_id = (select app_tenant_id())
  and (message_id is not null or uploader_id = (select app_user_id()) or (select app_is_service()))
  and (
    (select app_is_service())
    or (
      select is_member_status(cm.status)
      from channel_members cm
      where cm.channel_id = attachments.channel_id
        and cm.user_id = (select app_user_id())
    )
  )
)
-- The message must be visible to the caller and belong to that channel. An upload must be the caller's own, for a channel of
-- the caller.
with check (
  exists (
    select 1
    from messages m
    where m.id = attachments.message_id
      and m.channel_id = attachments.channel_id
      and m.tenant_id = attachments.tenant_id
  )
  or (
    message_id is null
    and tenant_id = (select app_tenant_id())
    and (
      (select app_is_service())
      or (
        uploader_id = (select app_user_id())
        and (
          select is_member_status(cm.status)
          from channel_members cm
          where cm.channel_id = attachments.channel_id
            and cm.user_id = (select app_user_id())
        )
      )
    )
  )
);

create policy usage_access_policy on storage_usage
for select to discuss_service
using (tenant_id = (select app_tenant_id()) and user_id in (0, (select app_user_id())));

create policy activity_access_policy on activity_feed
for select to discuss_service
using (
  tenant_id = (select app_tenant_id())
  and (user_id = (select app_user_id()) or (select app_is_service()))
);

create policy activity_insert_policy on activity_feed
for insert to discuss_service
with check (tenant_id = (select app_tenant_id()) and (select app_is_service()));

create policy activity_update_policy on activity_feed
for update to discuss_service
using (
  tenant_id = (select app_tenant_id())
  and (user_id = (select app_user_id()) or (select app_is_service()))
);

create policy event_access_policy on channel_events
for select to discuss_service
using (
  tenant_id = (select app_tenant_id())
  and (
    (select app_is_service())
    or (
      select is_member_status(cm.status)
      from channel_members cm
      where cm.channel_id = channel_events.channel_id
        and cm.user_id = (select app_user_id())
    )
  )
);

create policy idempotency_access_policy on idempotency_keys
to discuss_service
using (
  tenant_id = (select app_tenant_id())
  and (user_id = (select app_user_id()) or (select app_is_service()))
);

create policy edit_access_policy on message_edits
to discuss_service
using (
  tenant_id = (select app_tenant_id())
  and (
    (select app_is_service())
    or (
      select is_member_status(cm.status)
      from channel_members cm
      where cm.channel_id = message_edits.channel_id
        and cm.user_id = (select app_user_id())
    )
  )
);

-- Other users' rows can be counted only by functions of discuss_system.
create policy follower_access_policy on thread_followers
to discuss_service
using (
  tenant_id = (select app_tenant_id())
  and user_id = (select app_user_id())
  and (
    select is_member_status(cm.status)
    from channel_members cm
    where cm.channel_id = thread_followers.channel_id
      and cm.user_id = (select app_user_id())
  )
);

create policy vote_access_policy on poll_votes
for select to discuss_service
using (
  tenant_id = (select app_tenant_id())
  and (
    (select app_is_service())
    or (
      select is_member_status(cm.status)
      from channel_members cm
      where cm.channel_id = poll_votes.channel_id
        and cm.user_id = (select app_user_id())
    )
  )
);

create policy vote_insert_policy on poll_votes
for insert to discuss_service
with check (
  tenant_id = (select app_tenant_id())
  and user_id = (select app_user_id())
  and (
    select is_member_status(cm.status)
    from channel_members cm
    where cm.channel_id = poll_votes.channel_id
      and cm.user_id = (select app_user_id())
  )
);

create policy vote_delete_policy on poll_votes
for delete to discuss_service
using (
  tenant_id = (select app_tenant_id())
  and user_id = (select app_user_id())
);

create policy alias_access_policy on channel_entity_aliases
for select to discuss_service
using (
  tenant_id = (select app_tenant_id())
  and (
    (select app_is_service())
    or (
      select is_member_status(cm.status)
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

-- Not visible to the tenant, because the row of an invisible user would reveal that.
create policy status_access_policy on user_statuses
to discuss_service
using (
  tenant_id = (select app_tenant_id())
  and user_id = (select app_user_id())
);
