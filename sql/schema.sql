-- Written by make schema from the migrated database. Change it by a migration.

-- Extensions

create extension pg_trgm;

create extension pgcrypto;

create extension unaccent;

-- Text search

-- text search configuration discuss_simple: asciihword simple, asciiword simple, email simple, file simple, float simple, host simple, hword unaccent+simple, hword_asciipart simple, hword_numpart unaccent+simple, hword_part unaccent+simple, int simple, numhword unaccent+simple, numword unaccent+simple, sfloat simple, uint simple, url simple, url_path simple, version simple, word unaccent+simple
comment on text search configuration discuss_simple is 'Words without diacritics and without stemming, for any language; query with the same configuration.';

-- Tables

create table activity_feed (
  id bigint not null default nextval('activity_feed_id_seq'::regclass),
  tenant_id bigint not null,
  user_id bigint not null,
  action_type character varying(100) not null,
  actor_id bigint not null,
  entity_type character varying(100),
  entity_id bigint,
  channel_id bigint,
  message_id bigint,
  description text not null,
  title character varying(255),
  is_read boolean not null default false,
  read_at bigint,
  metadata jsonb,
  "timestamp" bigint not null,
  created_at bigint not null,
  collapse_key character varying(200),
  occurrences integer not null default 1,
  xid xid8 not null default pg_current_xact_id(),
  gathered jsonb,
  constraint activity_feed_channel_id_fkey FOREIGN KEY (channel_id) REFERENCES channels(id) ON DELETE CASCADE,
  constraint activity_feed_message_id_fkey FOREIGN KEY (message_id) REFERENCES messages(id) ON DELETE CASCADE,
  constraint activity_feed_pkey PRIMARY KEY (id, "timestamp"),
  constraint has_entity_or_channel CHECK ((((entity_type IS NOT NULL) AND (entity_id IS NOT NULL)) OR (channel_id IS NOT NULL)))
) partition by RANGE ("timestamp");
-- partitions: activity_feed_N_N, activity_feed_default
CREATE INDEX idx_activity_feed_channel ON public.activity_feed USING btree (channel_id, "timestamp" DESC) WHERE (channel_id IS NOT NULL);
CREATE INDEX idx_activity_feed_collapse ON public.activity_feed USING btree (tenant_id, user_id, collapse_key) WHERE ((collapse_key IS NOT NULL) AND (NOT is_read));
CREATE INDEX idx_activity_feed_entity ON public.activity_feed USING btree (entity_type, entity_id, "timestamp" DESC) WHERE (entity_type IS NOT NULL);
CREATE INDEX idx_activity_feed_message ON public.activity_feed USING btree (message_id) WHERE (message_id IS NOT NULL);
CREATE INDEX idx_activity_feed_unread ON public.activity_feed USING btree (user_id, is_read, "timestamp" DESC) WHERE (is_read = false);
CREATE INDEX idx_activity_feed_user_time ON public.activity_feed USING btree (user_id, tenant_id, "timestamp" DESC);
alter table activity_feed enable row level security, force row level security;
create policy activity_access_policy on activity_feed as permissive for select to discuss_service
  using (((tenant_id = ( SELECT app_tenant_id() AS app_tenant_id)) AND ((user_id = ( SELECT app_user_id() AS app_user_id)) OR ( SELECT app_is_service() AS app_is_service))));
create policy activity_insert_policy on activity_feed as permissive for insert to discuss_service
  with check (((tenant_id = ( SELECT app_tenant_id() AS app_tenant_id)) AND ( SELECT app_is_service() AS app_is_service)));
create policy activity_update_policy on activity_feed as permissive for update to discuss_service
  using (((tenant_id = ( SELECT app_tenant_id() AS app_tenant_id)) AND ((user_id = ( SELECT app_user_id() AS app_user_id)) OR ( SELECT app_is_service() AS app_is_service))));
create policy system_policy on activity_feed as permissive for all to discuss_system
  using (true)
  with check (true);
grant insert, select, update on activity_feed to discuss_service;
grant delete, insert, select, update on activity_feed to discuss_system;
grant usage on sequence activity_feed_id_seq to discuss_service;
grant select, usage on sequence activity_feed_id_seq to discuss_system;
comment on table activity_feed is 'What happened that concerns a user, from all modules. Partitioned by month (activity_feed_2026_11), see ensure_partitions().';
comment on column activity_feed.id is 'Identity of the activity.';
comment on column activity_feed.tenant_id is 'Tenant of the user.';
comment on column activity_feed.user_id is 'User the activity is for.';
comment on column activity_feed.action_type is 'What happened: MESSAGE_SENT, MENTION_RECEIVED, TASK_ASSIGNED, ...';
comment on column activity_feed.actor_id is 'User who did it.';
comment on column activity_feed.entity_type is 'Kind of what it happened to: channel, customer, task, ...';
comment on column activity_feed.entity_id is 'What it happened to.';
comment on column activity_feed.channel_id is 'Channel it happened in, if any.';
comment on column activity_feed.message_id is 'Message it is about, if any.';
comment on column activity_feed.description is 'Sentence for people.';
comment on column activity_feed.title is 'Short title for the user interface.';
comment on column activity_feed.is_read is 'Whether the user has seen it.';
comment on column activity_feed.read_at is 'When the user saw it, epoch ms.';
comment on column activity_feed.metadata is 'More context, such as priority of a task.';
comment on column activity_feed."timestamp" is 'When it happened, epoch ms.';
comment on column activity_feed.created_at is 'When it was recorded, epoch ms.';
comment on column activity_feed.collapse_key is 'While an activity with a key is unread, what happens under the same key changes it instead of adding one; null: always one of its own.';
comment on column activity_feed.occurrences is 'How many times it happened since the user last read it, 1 without a collapse_key.';
comment on column activity_feed.xid is 'Transaction that wrote it last. Whether a snapshot held it tells exactly what somebody was shown, which a time does not: activities commit in another order than they are timed.';
comment on column activity_feed.gathered is 'For reactions: the last 100 that are in this activity, [{"user_id": 1, "emoji": "...", "name": "..."}]; null for others.';

create table attachments (
  id bigint not null default nextval('attachments_id_seq'::regclass),
  message_id bigint not null,
  channel_id bigint not null,
  tenant_id bigint not null,
  file_name character varying(255) not null,
  file_size bigint not null,
  file_type character varying(100),
  file_extension character varying(20),
  s3_bucket character varying(255),
  s3_key character varying(500) not null,
  s3_url text not null,
  thumbnail_url text,
  width integer,
  height integer,
  scan_status character varying(50) not null default 'PENDING'::character varying,
  scanned_at bigint,
  metadata jsonb,
  created_at bigint not null,
  updated_at bigint not null,
  constraint attachments_message_id_fkey FOREIGN KEY (message_id) REFERENCES messages(id) ON DELETE CASCADE,
  constraint attachments_pkey PRIMARY KEY (id),
  constraint positive_file_size CHECK ((file_size > 0)),
  constraint valid_scan_status CHECK (((scan_status)::text = ANY ((ARRAY['PENDING'::character varying, 'CLEAN'::character varying, 'INFECTED'::character varying, 'ERROR'::character varying])::text[])))
);
CREATE INDEX idx_attachments_channel ON public.attachments USING btree (channel_id, created_at DESC);
CREATE INDEX idx_attachments_message ON public.attachments USING btree (message_id);
CREATE INDEX idx_attachments_scan ON public.attachments USING btree (scan_status) WHERE ((scan_status)::text = 'PENDING'::text);
CREATE INDEX idx_attachments_tenant_type ON public.attachments USING btree (tenant_id, file_type, created_at DESC);
alter table attachments enable row level security, force row level security;
create policy attachment_access_policy on attachments as permissive for all to discuss_service
  using (((tenant_id = ( SELECT app_tenant_id() AS app_tenant_id)) AND (( SELECT app_is_service() AS app_is_service) OR ( SELECT ((cm.status)::text = ANY ((ARRAY['ACTIVE'::character varying, 'MUTED'::character varying])::text[]))
   FROM channel_members cm
  WHERE ((cm.channel_id = attachments.channel_id) AND (cm.user_id = ( SELECT app_user_id() AS app_user_id)))))))
  with check ((EXISTS ( SELECT 1
   FROM messages m
  WHERE ((m.id = attachments.message_id) AND (m.channel_id = attachments.channel_id) AND (m.tenant_id = attachments.tenant_id)))));
create policy system_policy on attachments as permissive for all to discuss_system
  using (true)
  with check (true);
grant delete, insert, select, update on attachments to discuss_service;
grant delete, insert, select, update on attachments to discuss_system;
grant usage on sequence attachments_id_seq to discuss_service;
grant select, usage on sequence attachments_id_seq to discuss_system;
comment on table attachments is 'Files of messages; the bytes are in S3.';
comment on column attachments.id is 'Identity of the attachment.';
comment on column attachments.message_id is 'Message the file belongs to.';
comment on column attachments.channel_id is 'Channel of that message.';
comment on column attachments.tenant_id is 'Tenant of the channel.';
comment on column attachments.file_name is 'Name as uploaded.';
comment on column attachments.file_size is 'Size in bytes.';
comment on column attachments.file_type is 'MIME type.';
comment on column attachments.file_extension is 'Extension of the name, without the dot.';
comment on column attachments.s3_bucket is 'Bucket; null means the configured one.';
comment on column attachments.s3_key is 'Key in the bucket.';
comment on column attachments.s3_url is 'Where the object is; what clients get is signed anew for each request.';
comment on column attachments.thumbnail_url is 'Preview of an image or video.';
comment on column attachments.width is 'Width of an image or video, pixels.';
comment on column attachments.height is 'Height of an image or video, pixels.';
comment on column attachments.scan_status is 'PENDING, CLEAN, INFECTED or ERROR; only CLEAN may be downloaded.';
comment on column attachments.scanned_at is 'When the scanner answered, epoch ms.';
comment on column attachments.metadata is 'What the type adds, such as duration and codec of a video.';
comment on column attachments.created_at is 'When the upload was begun, epoch ms.';
comment on column attachments.updated_at is 'When the row last changed, epoch ms.';

create table channel_entity_aliases (
  tenant_id bigint not null,
  entity_type character varying(100) not null,
  entity_id bigint not null,
  channel_id bigint not null,
  created_at bigint not null,
  constraint channel_entity_aliases_channel_id_fkey FOREIGN KEY (channel_id) REFERENCES channels(id) ON DELETE CASCADE,
  constraint channel_entity_aliases_pkey PRIMARY KEY (tenant_id, entity_type, entity_id)
);
CREATE INDEX idx_channel_entity_aliases_channel ON public.channel_entity_aliases USING btree (channel_id);
alter table channel_entity_aliases enable row level security, force row level security;
create policy alias_access_policy on channel_entity_aliases as permissive for select to discuss_service
  using (((tenant_id = ( SELECT app_tenant_id() AS app_tenant_id)) AND (( SELECT app_is_service() AS app_is_service) OR ( SELECT ((cm.status)::text = ANY ((ARRAY['ACTIVE'::character varying, 'MUTED'::character varying])::text[]))
   FROM channel_members cm
  WHERE ((cm.channel_id = channel_entity_aliases.channel_id) AND (cm.user_id = ( SELECT app_user_id() AS app_user_id)))))));
create policy alias_change_policy on channel_entity_aliases as permissive for all to discuss_service
  using (((tenant_id = ( SELECT app_tenant_id() AS app_tenant_id)) AND ( SELECT app_is_service() AS app_is_service)))
  with check (((tenant_id = ( SELECT app_tenant_id() AS app_tenant_id)) AND ( SELECT app_is_service() AS app_is_service)));
create policy system_policy on channel_entity_aliases as permissive for all to discuss_system
  using (true)
  with check (true);
grant delete, insert, select, update on channel_entity_aliases to discuss_service;
grant delete, insert, select, update on channel_entity_aliases to discuss_system;
comment on table channel_entity_aliases is 'Earlier references of TOPIC channels: the entity whose discussion moved, and where it is now. An entity with a channel of its own needs none; one that leads to a deleted channel counts as none. Written with the reference''s advisory lock held, see MoveTopic.';
comment on column channel_entity_aliases.tenant_id is 'Tenant of the channel.';
comment on column channel_entity_aliases.entity_type is 'Kind of the entity.';
comment on column channel_entity_aliases.entity_id is 'The entity.';
comment on column channel_entity_aliases.channel_id is 'The channel its discussion is in now, always the last one of a chain.';
comment on column channel_entity_aliases.created_at is 'When the discussion left the entity, epoch ms.';

create table channel_events (
  id bigint not null default nextval('channel_events_id_seq'::regclass),
  channel_id bigint not null,
  seq bigint not null,
  tenant_id bigint not null,
  xid xid8 not null default GREATEST(pg_current_xact_id(), (((((pg_snapshot_xmax(pg_current_snapshot()))::text)::bigint - 1))::text)::xid8),
  kind text not null,
  message_id bigint,
  actor_id bigint,
  created_at bigint not null,
  payload bytea not null,
  constraint channel_events_pkey PRIMARY KEY (channel_id, seq, created_at)
) partition by RANGE (created_at);
-- partitions: channel_events_N, channel_events_default
CREATE INDEX idx_channel_events_feed ON public.channel_events USING btree (xid, id);
CREATE INDEX idx_channel_events_message ON public.channel_events USING btree (tenant_id, message_id) WHERE ((message_id IS NOT NULL) AND (kind <> 'MESSAGE_CREATED'::text));
alter table channel_events enable row level security, force row level security;
create policy event_access_policy on channel_events as permissive for select to discuss_service
  using (((tenant_id = ( SELECT app_tenant_id() AS app_tenant_id)) AND (( SELECT app_is_service() AS app_is_service) OR ( SELECT ((cm.status)::text = ANY ((ARRAY['ACTIVE'::character varying, 'MUTED'::character varying])::text[]))
   FROM channel_members cm
  WHERE ((cm.channel_id = channel_events.channel_id) AND (cm.user_id = ( SELECT app_user_id() AS app_user_id)))))));
create policy system_policy on channel_events as permissive for all to discuss_system
  using (true)
  with check (true);
grant select on channel_events to discuss_service;
grant delete, insert, select, update on channel_events to discuss_system;
grant select, usage on sequence channel_events_id_seq to discuss_system;
comment on table channel_events is 'The log of every channel: each change, in order, as the very bytes subscribers get. Kept 7 days, partitioned by day (channel_events_20261122, UTC), see ensure_partitions() and drop_old_event_partitions(). No foreign key, as the last events of a deleted channel must still reach its members.';
comment on column channel_events.id is 'Order of insertion over all channels; says something only among equal xids.';
comment on column channel_events.channel_id is 'Channel that changed.';
comment on column channel_events.seq is 'Number of the event in its channel, 1..N without gaps in order of commit.';
comment on column channel_events.tenant_id is 'Tenant of the channel.';
comment on column channel_events.xid is 'The transaction that wrote it, or the youngest that had ended by then, if that is younger. Below pg_snapshot_xmin() nothing can appear any more, so (xid, id) is a cursor without gaps; and in a channel it is the order of seq.';
comment on column channel_events.kind is 'What happened: MESSAGE_CREATED, MEMBERS_JOINED, ...';
comment on column channel_events.message_id is 'Message it is about, if any.';
comment on column channel_events.actor_id is 'User who did it, if any.';
comment on column channel_events.created_at is 'When it happened, epoch ms.';
comment on column channel_events.payload is 'The encoded protobuf event.';

create table channel_members (
  id bigint not null default nextval('channel_members_id_seq'::regclass),
  channel_id bigint not null,
  user_id bigint not null,
  tenant_id bigint not null,
  role character varying(50) not null default 'MEMBER'::character varying,
  status character varying(50) not null default 'ACTIVE'::character varying,
  joined_at bigint not null,
  left_at bigint,
  removed_by bigint,
  last_read_msg_id bigint,
  unread_count integer not null default 0,
  is_muted boolean not null default false,
  is_pinned boolean not null default false,
  notification_level character varying(50) not null default 'ALL'::character varying,
  metadata jsonb,
  created_at bigint not null,
  updated_at bigint not null,
  read_post_seq bigint not null default 0,
  own_posts bigint not null default 0,
  own_posts_read bigint not null default 0,
  constraint channel_members_channel_id_fkey FOREIGN KEY (channel_id) REFERENCES channels(id) ON DELETE CASCADE,
  constraint channel_members_channel_id_user_id_key UNIQUE (channel_id, user_id),
  constraint channel_members_pkey PRIMARY KEY (id),
  constraint valid_notification CHECK (((notification_level)::text = ANY ((ARRAY['ALL'::character varying, 'MENTIONS'::character varying, 'NONE'::character varying])::text[]))),
  constraint valid_role CHECK (((role)::text = ANY ((ARRAY['OWNER'::character varying, 'ADMIN'::character varying, 'MEMBER'::character varying, 'GUEST'::character varying])::text[]))),
  constraint valid_status CHECK (((status)::text = ANY ((ARRAY['ACTIVE'::character varying, 'MUTED'::character varying, 'LEFT'::character varying, 'REMOVED'::character varying])::text[])))
) with (fillfactor=80);
CREATE INDEX idx_channel_members_active ON public.channel_members USING btree (tenant_id, user_id) WHERE ((status)::text = ANY ((ARRAY['ACTIVE'::character varying, 'MUTED'::character varying])::text[]));
CREATE INDEX idx_channel_members_channel ON public.channel_members USING btree (channel_id, status) WHERE ((status)::text = 'ACTIVE'::text);
CREATE INDEX idx_channel_members_rank ON public.channel_members USING btree (tenant_id, channel_id, (
CASE role
    WHEN 'OWNER'::text THEN 1
    WHEN 'ADMIN'::text THEN 2
    WHEN 'MEMBER'::text THEN 3
    ELSE 4
END), user_id) WHERE ((status)::text = ANY ((ARRAY['ACTIVE'::character varying, 'MUTED'::character varying])::text[]));
CREATE INDEX idx_channel_members_role ON public.channel_members USING btree (channel_id, role) WHERE ((status)::text = 'ACTIVE'::text);
CREATE INDEX idx_channel_members_unread ON public.channel_members USING btree (user_id, tenant_id, unread_count DESC) WHERE ((unread_count > 0) AND ((status)::text = 'ACTIVE'::text));
CREATE INDEX idx_channel_members_user ON public.channel_members USING btree (user_id, tenant_id, is_pinned DESC, updated_at DESC) WHERE ((status)::text = 'ACTIVE'::text);
CREATE TRIGGER trigger_settle_member_unread BEFORE INSERT OR UPDATE OF status, last_read_msg_id, read_post_seq, own_posts_read ON public.channel_members FOR EACH ROW EXECUTE FUNCTION settle_member_unread();
comment on trigger trigger_settle_member_unread on channel_members is 'Settles unread_count with every move of the read marker.';
CREATE TRIGGER trigger_update_member_count AFTER INSERT ON public.channel_members REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION update_member_count();
comment on trigger trigger_update_member_count on channel_members is 'Counts new members.';
CREATE TRIGGER trigger_update_member_count_on_delete AFTER DELETE ON public.channel_members REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION update_member_count();
comment on trigger trigger_update_member_count_on_delete on channel_members is 'Counts off removed rows.';
CREATE TRIGGER trigger_update_member_count_on_update AFTER UPDATE OF status ON public.channel_members FOR EACH ROW WHEN ((((old.status)::text = 'ACTIVE'::text) <> ((new.status)::text = 'ACTIVE'::text))) EXECUTE FUNCTION update_member_count();
comment on trigger trigger_update_member_count_on_update on channel_members is 'Counts members whose status changes.';
alter table channel_members enable row level security, force row level security;
create policy member_access_policy on channel_members as permissive for select to discuss_service
  using (((tenant_id = ( SELECT app_tenant_id() AS app_tenant_id)) AND ((user_id = ( SELECT app_user_id() AS app_user_id)) OR ( SELECT app_is_service() AS app_is_service) OR app_is_member(channel_id))));
create policy member_insert_policy on channel_members as permissive for insert to discuss_service
  with check (((tenant_id = ( SELECT app_tenant_id() AS app_tenant_id)) AND app_may_add_member(channel_id, user_id)));
create policy member_update_policy on channel_members as permissive for update to discuss_service
  using (((tenant_id = ( SELECT app_tenant_id() AS app_tenant_id)) AND ((user_id = ( SELECT app_user_id() AS app_user_id)) OR ( SELECT app_is_service() AS app_is_service) OR app_is_member(channel_id))));
create policy system_policy on channel_members as permissive for all to discuss_system
  using (true)
  with check (true);
grant insert, select, update on channel_members to discuss_service;
grant delete, insert, select, update on channel_members to discuss_system;
grant usage on sequence channel_members_id_seq to discuss_service;
grant select, usage on sequence channel_members_id_seq to discuss_system;
comment on table channel_members is 'Who is or was in a channel, and how far each has read. Rows are never removed while the channel exists: who left has status LEFT or REMOVED.';
comment on column channel_members.id is 'Identity of the membership.';
comment on column channel_members.channel_id is 'The channel.';
comment on column channel_members.user_id is 'The user.';
comment on column channel_members.tenant_id is 'Tenant of the channel.';
comment on column channel_members.role is 'OWNER, ADMIN, MEMBER or GUEST.';
comment on column channel_members.status is 'ACTIVE; MUTED (reads, may not post); LEFT; REMOVED. The first two may see the channel.';
comment on column channel_members.joined_at is 'When the user last joined, epoch ms.';
comment on column channel_members.left_at is 'When the user left or was removed, epoch ms.';
comment on column channel_members.removed_by is 'User who removed this one.';
comment on column channel_members.last_read_msg_id is 'The read marker: last message read, or null.';
comment on column channel_members.unread_count is 'Unread number as last settled; the exact one is derived_unread(). Settled with every move of the marker and by settle_unread().';
comment on column channel_members.is_muted is 'Whether the user wants no notification from the channel.';
comment on column channel_members.is_pinned is 'Whether the user keeps the channel on top.';
comment on column channel_members.notification_level is 'ALL, MENTIONS or NONE.';
comment on column channel_members.metadata is 'Free settings of the user for this channel, such as a nickname.';
comment on column channel_members.created_at is 'When the row was made, epoch ms.';
comment on column channel_members.updated_at is 'When the user or an admin last changed the membership, epoch ms; not touched by messages.';
comment on column channel_members.read_post_seq is 'post_seq of last_read_msg_id, 0 without a marker.';
comment on column channel_members.own_posts is 'Messages this user ever posted in the channel.';
comment on column channel_members.own_posts_read is 'Those of own_posts at or below the marker.';

create table channel_names (
  channel_id bigint not null,
  tenant_id bigint not null,
  name text not null,
  constraint channel_names_channel_id_fkey FOREIGN KEY (channel_id) REFERENCES channels(id) ON DELETE CASCADE,
  constraint channel_names_pkey PRIMARY KEY (channel_id)
);
CREATE INDEX idx_channel_names_search ON public.channel_names USING gin ((ARRAY[tenant_id]), name gin_trgm_ops);
alter table channel_names enable row level security, force row level security;
create policy system_policy on channel_names as permissive for all to discuss_system
  using (true)
  with check (true);
grant select on channel_names to discuss_service;
grant delete, insert, select, update on channel_names to discuss_system;
comment on table channel_names is 'Names of channels other than DIRECT as search_name() makes them, kept by trigger_keep_channel_name.';
comment on column channel_names.channel_id is 'The channel.';
comment on column channel_names.tenant_id is 'Tenant of the channel.';
comment on column channel_names.name is 'Its name, folded.';

create table channels (
  id bigint not null default nextval('channels_id_seq'::regclass),
  tenant_id bigint not null,
  created_by bigint not null,
  name character varying(255) not null,
  description text,
  type character varying(50) not null,
  entity_type character varying(100),
  entity_id bigint,
  is_private boolean not null default false,
  is_archived boolean not null default false,
  member_count integer not null default 0,
  message_count integer not null default 0,
  last_message_at bigint,
  metadata jsonb,
  created_at bigint not null,
  updated_at bigint not null,
  event_seq bigint not null default 0,
  post_seq bigint not null default 0,
  last_message_id bigint,
  unread_version bigint not null default 0,
  settled_version bigint not null default 0,
  deleted_at bigint,
  merged_into bigint,
  constraint channels_pkey PRIMARY KEY (id),
  constraint direct_has_peer CHECK ((((type)::text <> 'DIRECT'::text) OR (entity_id IS NOT NULL))),
  constraint topic_has_entity CHECK (((((type)::text = 'TOPIC'::text) AND (entity_type IS NOT NULL) AND (entity_id IS NOT NULL)) OR ((type)::text <> 'TOPIC'::text))),
  constraint valid_channel_type CHECK (((type)::text = ANY ((ARRAY['DIRECT'::character varying, 'GROUP'::character varying, 'TOPIC'::character varying])::text[])))
) with (fillfactor=70);
CREATE INDEX idx_channels_created_by ON public.channels USING btree (created_by, tenant_id);
CREATE INDEX idx_channels_deleted ON public.channels USING btree (deleted_at) WHERE (deleted_at IS NOT NULL);
CREATE INDEX idx_channels_entity ON public.channels USING btree (tenant_id, entity_type, entity_id) WHERE (entity_type IS NOT NULL);
CREATE INDEX idx_channels_last_message ON public.channels USING btree (tenant_id, last_message_at DESC NULLS LAST) WHERE (is_archived = false);
CREATE INDEX idx_channels_tenant_type ON public.channels USING btree (tenant_id, type, is_archived);
CREATE INDEX idx_channels_unsettled ON public.channels USING btree (id) WHERE (unread_version <> settled_version);
CREATE UNIQUE INDEX idx_direct_channel_unique ON public.channels USING btree (tenant_id, LEAST(created_by, entity_id), GREATEST(created_by, entity_id)) WHERE (((type)::text = 'DIRECT'::text) AND (deleted_at IS NULL));
CREATE UNIQUE INDEX idx_topic_channel_unique ON public.channels USING btree (tenant_id, entity_type, entity_id) WHERE (((type)::text = 'TOPIC'::text) AND (deleted_at IS NULL) AND (merged_into IS NULL));
CREATE TRIGGER trigger_keep_channel_name AFTER INSERT OR UPDATE OF name ON public.channels FOR EACH ROW WHEN (((new.type)::text <> 'DIRECT'::text)) EXECUTE FUNCTION keep_channel_name();
comment on trigger trigger_keep_channel_name on channels is NULL;
alter table channels enable row level security, force row level security;
create policy channel_access_policy on channels as permissive for select to discuss_service
  using (((tenant_id = ( SELECT app_tenant_id() AS app_tenant_id)) AND (( SELECT app_is_service() AS app_is_service) OR (((type)::text = 'GROUP'::text) AND (NOT is_private)) OR ( SELECT ((cm.status)::text = ANY ((ARRAY['ACTIVE'::character varying, 'MUTED'::character varying])::text[]))
   FROM channel_members cm
  WHERE ((cm.channel_id = channels.id) AND (cm.user_id = ( SELECT app_user_id() AS app_user_id)))))));
create policy channel_insert_policy on channels as permissive for insert to discuss_service
  with check (((tenant_id = ( SELECT app_tenant_id() AS app_tenant_id)) AND (( SELECT app_is_service() AS app_is_service) OR (created_by = ( SELECT app_user_id() AS app_user_id)))));
create policy channel_update_policy on channels as permissive for update to discuss_service
  using (((tenant_id = ( SELECT app_tenant_id() AS app_tenant_id)) AND (( SELECT app_is_service() AS app_is_service) OR ( SELECT ((cm.status)::text = ANY ((ARRAY['ACTIVE'::character varying, 'MUTED'::character varying])::text[]))
   FROM channel_members cm
  WHERE ((cm.channel_id = channels.id) AND (cm.user_id = ( SELECT app_user_id() AS app_user_id)))))));
create policy system_policy on channels as permissive for all to discuss_system
  using (true)
  with check (true);
grant insert, select, update on channels to discuss_service;
grant delete, insert, select, update on channels to discuss_system;
grant usage on sequence channels_id_seq to discuss_service;
grant select, usage on sequence channels_id_seq to discuss_system;
comment on table channels is 'A place where members exchange messages. Lock order of every write: channels rows by id (for no key update), then channel_members, then messages.';
comment on column channels.id is 'Identity of the channel.';
comment on column channels.tenant_id is 'Tenant the channel belongs to.';
comment on column channels.created_by is 'User who made the channel; for DIRECT one of the pair.';
comment on column channels.name is 'Name shown to members.';
comment on column channels.description is 'What the channel is for.';
comment on column channels.type is 'DIRECT (a pair of users), GROUP, or TOPIC (tied to a business entity).';
comment on column channels.entity_type is 'Kind of business entity of a TOPIC channel: customer, task, order, lead, ...';
comment on column channels.entity_id is 'Business entity of a TOPIC channel; for DIRECT the other user of the pair.';
comment on column channels.is_private is 'Whether only members may find a GROUP channel.';
comment on column channels.is_archived is 'Whether the channel is put away and read-only.';
comment on column channels.member_count is 'Members with status ACTIVE, kept by trigger_update_member_count.';
comment on column channels.message_count is 'Messages not yet removed for good, deleted ones included, notices not; kept by trigger_update_channel_stats.';
comment on column channels.last_message_at is 'created_at of the newest message that is no notice, epoch ms; never goes back.';
comment on column channels.metadata is 'Free settings of the user interface, such as colour and icon.';
comment on column channels.created_at is 'When the channel was made, epoch ms.';
comment on column channels.updated_at is 'When the channel last changed, epoch ms.';
comment on column channels.event_seq is 'seq of the last row of this channel in channel_events; taken under the row lock, so without gaps.';
comment on column channels.post_seq is 'post_seq of the last message ever posted here; 1..N without gaps.';
comment on column channels.last_message_id is 'Id of the last message ever posted here, deleted or not, notices included.';
comment on column channels.unread_version is 'Counted up whenever unread numbers of the channel may change, and by what changes messages without an event.';
comment on column channels.settled_version is 'unread_version for which all stored unread numbers were last found right; see settle_unread().';
comment on column channels.deleted_at is 'When the channel was deleted, epoch ms; null while it exists for its members.';
comment on column channels.merged_into is 'The channel in which the discussion of this TOPIC channel goes on since the two were merged; null otherwise. Such a channel is archived for good, and no longer that of its entity.';

create table deleted_posts (
  channel_id bigint not null,
  post_seq bigint not null,
  tenant_id bigint not null,
  sender_id bigint not null,
  constraint deleted_posts_channel_id_fkey FOREIGN KEY (channel_id) REFERENCES channels(id) ON DELETE CASCADE,
  constraint deleted_posts_pkey PRIMARY KEY (channel_id, post_seq) INCLUDE (tenant_id, sender_id)
);
alter table deleted_posts enable row level security, force row level security;
create policy deleted_post_access_policy on deleted_posts as permissive for select to discuss_service
  using (((tenant_id = ( SELECT app_tenant_id() AS app_tenant_id)) AND (( SELECT app_is_service() AS app_is_service) OR ( SELECT ((cm.status)::text = ANY ((ARRAY['ACTIVE'::character varying, 'MUTED'::character varying])::text[]))
   FROM channel_members cm
  WHERE ((cm.channel_id = deleted_posts.channel_id) AND (cm.user_id = ( SELECT app_user_id() AS app_user_id)))))));
create policy system_policy on deleted_posts as permissive for all to discuss_system
  using (true)
  with check (true);
grant select on deleted_posts to discuss_service;
grant delete, insert, select, update on deleted_posts to discuss_system;
comment on table deleted_posts is 'Numbers of the messages that count as unread for nobody: deleted, removed for good, or notices. Kept by update_unread_counts(), outlives the message.';
comment on column deleted_posts.channel_id is 'Channel of the message.';
comment on column deleted_posts.post_seq is 'Number of the message in its channel.';
comment on column deleted_posts.tenant_id is 'Tenant of the channel.';
comment on column deleted_posts.sender_id is 'User who had posted it; own messages are counted apart.';

create table event_feed (
  tenant_id bigint not null default 0,
  epoch bigint not null,
  floor_xid xid8 not null default '0'::xid8,
  floor_id bigint not null default 0,
  constraint event_feed_of_all CHECK ((tenant_id = 0)),
  constraint event_feed_pkey PRIMARY KEY (tenant_id)
);
alter table event_feed enable row level security, force row level security;
create policy system_policy on event_feed as permissive for all to discuss_system
  using (true)
  with check (true);
grant select on event_feed to discuss_service;
grant delete, insert, select, update on event_feed to discuss_system;
comment on table event_feed is 'One row: what cursors into the log of all tenants are held against, see read_event_feed().';
comment on column event_feed.tenant_id is '0: the feed is of all tenants.';
comment on column event_feed.epoch is 'Cursors given out under another epoch mean nothing; restart_event_feed() begins a new one.';
comment on column event_feed.floor_xid is 'With floor_id, the last event in the order (xid, id) that was dropped from the log: cursors before it missed something.';
comment on column event_feed.floor_id is 'See floor_xid.';

create table idempotency_keys (
  tenant_id bigint not null,
  user_id bigint not null,
  request_id uuid not null,
  method text not null,
  payload_hash bytea not null,
  channel_id bigint,
  resource_id bigint,
  created_at bigint not null,
  constraint idempotency_keys_pkey PRIMARY KEY (tenant_id, user_id, request_id)
);
CREATE INDEX idx_idempotency_keys_created ON public.idempotency_keys USING btree (created_at);
alter table idempotency_keys enable row level security, force row level security;
create policy idempotency_access_policy on idempotency_keys as permissive for all to discuss_service
  using (((tenant_id = ( SELECT app_tenant_id() AS app_tenant_id)) AND ((user_id = ( SELECT app_user_id() AS app_user_id)) OR ( SELECT app_is_service() AS app_is_service))));
create policy system_policy on idempotency_keys as permissive for all to discuss_system
  using (true)
  with check (true);
grant insert, select on idempotency_keys to discuss_service;
grant delete, insert, select, update on idempotency_keys to discuss_system;
comment on table idempotency_keys is 'Requests already answered, so that a retry gets the first answer. Kept 24 hours at least.';
comment on column idempotency_keys.tenant_id is 'Tenant of the caller.';
comment on column idempotency_keys.user_id is 'User who asked.';
comment on column idempotency_keys.request_id is 'Id the client gave the request; unique per user.';
comment on column idempotency_keys.method is 'RPC that was called.';
comment on column idempotency_keys.payload_hash is 'Hash of the request, to tell a retry from another request with the same id.';
comment on column idempotency_keys.channel_id is 'Channel the answer is about.';
comment on column idempotency_keys.resource_id is 'What the request made: message, channel, ...';
comment on column idempotency_keys.created_at is 'When it was first asked, epoch ms.';

create table message_edits (
  tenant_id bigint not null,
  message_id bigint not null,
  version integer not null,
  channel_id bigint not null,
  content text not null,
  mentions bigint[] not null,
  metadata jsonb,
  created_at bigint not null,
  constraint message_edits_channel_id_fkey FOREIGN KEY (channel_id) REFERENCES channels(id) ON DELETE CASCADE,
  constraint message_edits_pkey PRIMARY KEY (tenant_id, message_id, version)
);
CREATE INDEX idx_message_edits_channel ON public.message_edits USING btree (channel_id);
alter table message_edits enable row level security, force row level security;
create policy edit_access_policy on message_edits as permissive for all to discuss_service
  using (((tenant_id = ( SELECT app_tenant_id() AS app_tenant_id)) AND (( SELECT app_is_service() AS app_is_service) OR ( SELECT ((cm.status)::text = ANY ((ARRAY['ACTIVE'::character varying, 'MUTED'::character varying])::text[]))
   FROM channel_members cm
  WHERE ((cm.channel_id = message_edits.channel_id) AND (cm.user_id = ( SELECT app_user_id() AS app_user_id)))))));
create policy system_policy on message_edits as permissive for all to discuss_system
  using (true)
  with check (true);
grant delete, insert, select on message_edits to discuss_service;
grant delete, insert, select, update on message_edits to discuss_system;
comment on table message_edits is 'Earlier versions of messages that were edited. Gone with the deletion of the message.';
comment on column message_edits.tenant_id is 'Tenant of the channel.';
comment on column message_edits.message_id is 'The message.';
comment on column message_edits.version is 'Number of the version: 1 is the message as posted.';
comment on column message_edits.channel_id is 'Channel of the message.';
comment on column message_edits.content is 'The text of this version.';
comment on column message_edits.mentions is 'Users this version mentioned.';
comment on column message_edits.metadata is 'Metadata of this version.';
comment on column message_edits.created_at is 'When this version was written, epoch ms.';

create table messages (
  id bigint not null default nextval('messages_id_seq'::regclass),
  channel_id bigint not null,
  sender_id bigint not null,
  tenant_id bigint not null,
  content text not null,
  message_type character varying(50) not null default 'TEXT'::character varying,
  mentions bigint[] not null default '{}'::bigint[],
  parent_id bigint,
  thread_count integer not null default 0,
  is_edited boolean not null default false,
  edited_at bigint,
  is_deleted boolean not null default false,
  deleted_at bigint,
  deleted_by bigint,
  reactions jsonb not null default '[]'::jsonb,
  read_by bigint[] not null default '{}'::bigint[],
  metadata jsonb,
  created_at bigint not null,
  updated_at bigint not null,
  post_seq bigint not null,
  event_seq bigint not null default 0,
  mention_scope character varying(50),
  also_in_channel boolean not null default false,
  thread_user_count integer not null default 0,
  thread_users bigint[] not null default '{}'::bigint[],
  last_reply_at bigint,
  pinned_at bigint,
  pinned_by bigint,
  pin_seq bigint,
  posted_seq bigint,
  search_vector tsvector generated always as ((setweight(to_tsvector('discuss_simple'::regconfig, translate(NORMALIZE(content, NFC), '-_/.@+<>&'::text, '         '::text)), 'A'::"char") || to_tsvector('english'::regconfig, content))) stored,
  notice jsonb,
  constraint content_not_empty CHECK (((char_length(TRIM(BOTH FROM content)) > 0) OR ((message_type)::text <> 'TEXT'::text))),
  constraint messages_channel_id_fkey FOREIGN KEY (channel_id) REFERENCES channels(id) ON DELETE CASCADE,
  constraint messages_parent_id_fkey FOREIGN KEY (parent_id) REFERENCES messages(id) ON DELETE SET NULL,
  constraint messages_pkey PRIMARY KEY (id),
  constraint valid_mention_scope CHECK (((mention_scope)::text = ANY ((ARRAY['CHANNEL'::character varying, 'HERE'::character varying])::text[]))),
  constraint valid_message_type CHECK (((message_type)::text = ANY ((ARRAY['TEXT'::character varying, 'IMAGE'::character varying, 'FILE'::character varying, 'SYSTEM'::character varying, 'CODE'::character varying, 'POLL'::character varying])::text[])))
) partition by RANGE (id);
-- partitions: messages_default, messages_pN
CREATE INDEX idx_messages_channel_id ON public.messages USING btree (channel_id, id DESC);
CREATE INDEX idx_messages_channel_time ON public.messages USING btree (channel_id, created_at DESC) WHERE (is_deleted = false);
CREATE INDEX idx_messages_deleted ON public.messages USING btree (deleted_at) WHERE is_deleted;
CREATE INDEX idx_messages_mentioning ON public.messages USING btree (channel_id, id) WHERE ((mentions <> '{}'::bigint[]) OR ((mention_scope)::text = 'CHANNEL'::text));
CREATE INDEX idx_messages_mentions ON public.messages USING gin (mentions) WHERE (mentions <> '{}'::bigint[]);
CREATE INDEX idx_messages_parent ON public.messages USING btree (parent_id) WHERE (parent_id IS NOT NULL);
CREATE INDEX idx_messages_pinned ON public.messages USING btree (channel_id, pin_seq DESC) WHERE (pin_seq IS NOT NULL);
CREATE INDEX idx_messages_search ON public.messages USING gin (search_vector, search_scope(id, tenant_id, channel_id, sender_id, (message_type)::text));
CREATE INDEX idx_messages_sender ON public.messages USING btree (tenant_id, sender_id, created_at DESC);
CREATE INDEX idx_messages_thread ON public.messages USING btree (parent_id, id) WHERE (parent_id IS NOT NULL);
CREATE TRIGGER trigger_assign_post_seq BEFORE INSERT ON public.messages FOR EACH ROW WHEN ((new.post_seq IS NULL)) EXECUTE FUNCTION assign_post_seq();
comment on trigger trigger_assign_post_seq on messages is 'Numbers messages that come without a number.';
CREATE TRIGGER trigger_tell_of_changed_message AFTER UPDATE OF channel_id, sender_id, content, message_type, mentions, mention_scope, also_in_channel, thread_count, thread_user_count, thread_users, last_reply_at, edited_at, deleted_at, deleted_by, is_deleted, metadata, notice, reactions, pinned_at, pinned_by, post_seq, created_at ON public.messages FOR EACH ROW WHEN ((old.event_seq = new.event_seq)) EXECUTE FUNCTION tell_of_changed_message();
comment on trigger trigger_tell_of_changed_message on messages is 'Notes a message that plain SQL changes.';
CREATE TRIGGER trigger_update_channel_stats AFTER INSERT ON public.messages FOR EACH ROW WHEN (((new.event_seq = 0) AND (new.notice IS NULL))) EXECUTE FUNCTION update_channel_stats();
comment on trigger trigger_update_channel_stats on messages is 'Counts messages that plain SQL inserts; those with an event are counted by what posts them.';
CREATE TRIGGER trigger_update_channel_stats_on_delete AFTER DELETE ON public.messages REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION update_channel_stats();
comment on trigger trigger_update_channel_stats_on_delete on messages is 'Counts off messages removed for good.';
CREATE TRIGGER trigger_update_unread_counts AFTER INSERT ON public.messages FOR EACH ROW WHEN ((new.is_deleted OR (new.notice IS NOT NULL))) EXECUTE FUNCTION update_unread_counts();
comment on trigger trigger_update_unread_counts on messages is 'Notes a message that counts for nobody from the start: a notice, or one inserted as deleted.';
CREATE TRIGGER trigger_update_unread_counts_on_delete AFTER DELETE ON public.messages REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION update_unread_counts();
comment on trigger trigger_update_unread_counts_on_delete on messages is 'Notes messages that are removed without having been deleted before.';
CREATE TRIGGER trigger_update_unread_counts_on_update AFTER UPDATE OF is_deleted ON public.messages FOR EACH ROW WHEN ((old.is_deleted IS DISTINCT FROM new.is_deleted)) EXECUTE FUNCTION update_unread_counts();
comment on trigger trigger_update_unread_counts_on_update on messages is 'Notes a message that gets deleted, or comes back.';
alter table messages enable row level security, force row level security;
create policy message_access_policy on messages as permissive for select to discuss_service
  using (((tenant_id = ( SELECT app_tenant_id() AS app_tenant_id)) AND (( SELECT app_is_service() AS app_is_service) OR ( SELECT ((cm.status)::text = ANY ((ARRAY['ACTIVE'::character varying, 'MUTED'::character varying])::text[]))
   FROM channel_members cm
  WHERE ((cm.channel_id = messages.channel_id) AND (cm.user_id = ( SELECT app_user_id() AS app_user_id)))))));
create policy message_insert_policy on messages as permissive for insert to discuss_service
  with check (((tenant_id = ( SELECT app_tenant_id() AS app_tenant_id)) AND ((EXISTS ( SELECT 1
   FROM channel_members cm
  WHERE ((cm.channel_id = messages.channel_id) AND (cm.tenant_id = messages.tenant_id) AND (cm.user_id = messages.sender_id) AND (cm.user_id = ( SELECT app_user_id() AS app_user_id)) AND ((cm.status)::text = 'ACTIVE'::text)))) OR (( SELECT app_is_service() AS app_is_service) AND (EXISTS ( SELECT 1
   FROM channels c
  WHERE ((c.id = messages.channel_id) AND (c.tenant_id = messages.tenant_id))))))));
create policy message_update_policy on messages as permissive for update to discuss_service
  using (((tenant_id = ( SELECT app_tenant_id() AS app_tenant_id)) AND (( SELECT app_is_service() AS app_is_service) OR ( SELECT ((cm.status)::text = ANY ((ARRAY['ACTIVE'::character varying, 'MUTED'::character varying])::text[]))
   FROM channel_members cm
  WHERE ((cm.channel_id = messages.channel_id) AND (cm.user_id = ( SELECT app_user_id() AS app_user_id)))))));
create policy system_policy on messages as permissive for all to discuss_system
  using (true)
  with check (true);
grant insert, select, update on messages to discuss_service;
grant delete, insert, select, update on messages to discuss_system;
grant usage on sequence messages_id_seq to discuss_service;
grant select, usage on sequence messages_id_seq to discuss_system;
comment on table messages is 'What was said. Partitioned by ranges of 30,000,000 ids (messages_p000001 has ids below 30,000,000), see ensure_partitions(). In one channel the orders of id, post_seq and commit are the same.';
comment on column messages.id is 'Identity of the message; taken after the lock of its channel.';
comment on column messages.channel_id is 'Channel the message was posted in.';
comment on column messages.sender_id is 'User who posted it.';
comment on column messages.tenant_id is 'Tenant of the channel.';
comment on column messages.content is 'The text.';
comment on column messages.message_type is 'TEXT, IMAGE, FILE, SYSTEM, CODE or POLL.';
comment on column messages.mentions is 'Users mentioned with @.';
comment on column messages.parent_id is 'Message this one replies to.';
comment on column messages.thread_count is 'Replies to this message that are not deleted.';
comment on column messages.is_edited is 'Whether the content was changed after posting.';
comment on column messages.edited_at is 'When the content was last changed, epoch ms.';
comment on column messages.is_deleted is 'Whether the message was deleted; the row goes 90 days later.';
comment on column messages.deleted_at is 'When it was deleted, epoch ms.';
comment on column messages.deleted_by is 'User who deleted it.';
comment on column messages.reactions is 'Reactions: [{"emoji": "...", "users": [1, 2]}].';
comment on column messages.read_by is 'Users who read it; filled in the background and for small channels only, as read markers hold the truth.';
comment on column messages.metadata is 'What the type needs besides the text: language of code, options of a poll.';
comment on column messages.created_at is 'When it was posted, epoch ms.';
comment on column messages.updated_at is 'When the row last changed, epoch ms.';
comment on column messages.post_seq is 'Number of the message in its channel, 1..N; null on insert means: take the next one.';
comment on column messages.event_seq is 'seq of the event of channel_events that last changed the message.';
comment on column messages.mention_scope is 'CHANNEL or HERE when everybody, or everybody online, is mentioned; null otherwise.';
comment on column messages.also_in_channel is 'Whether a reply is shown in the channel as well as in its thread.';
comment on column messages.thread_user_count is 'Users with a reply to this message that is not deleted.';
comment on column messages.thread_users is 'The first five of them, in the order of their first replies.';
comment on column messages.last_reply_at is 'When the last reply that is not deleted was posted, epoch ms; null without replies.';
comment on column messages.pinned_at is 'When the message was pinned, epoch ms; null when it is not.';
comment on column messages.pinned_by is 'User who pinned it.';
comment on column messages.pin_seq is 'seq of the event that pinned it: the order of pins.';
comment on column messages.posted_seq is 'seq of its MESSAGE_CREATED event; null when it has none.';
comment on column messages.search_vector is 'Words of the content as typed, without diacritics (discuss_simple, label A), then stemmed in English (label D).';
comment on column messages.notice is 'What the service itself reports, a SystemNotice of message.proto as JSON: who joined, was removed, ... Such a message is of sender 0 and has no content, which is made of the notice, so that searches do not find it. It counts for nothing but its place in the channel: not as unread, as newest message, or in message_count. null for what somebody posted.';

create table poll_votes (
  tenant_id bigint not null,
  message_id bigint not null,
  user_id bigint not null,
  option_id integer not null,
  channel_id bigint not null,
  created_at bigint not null,
  constraint poll_votes_channel_id_fkey FOREIGN KEY (channel_id) REFERENCES channels(id) ON DELETE CASCADE,
  constraint poll_votes_pkey PRIMARY KEY (tenant_id, message_id, user_id, option_id)
);
CREATE INDEX idx_poll_votes_channel ON public.poll_votes USING btree (channel_id);
alter table poll_votes enable row level security, force row level security;
create policy system_policy on poll_votes as permissive for all to discuss_system
  using (true)
  with check (true);
create policy vote_access_policy on poll_votes as permissive for select to discuss_service
  using (((tenant_id = ( SELECT app_tenant_id() AS app_tenant_id)) AND (( SELECT app_is_service() AS app_is_service) OR ( SELECT ((cm.status)::text = ANY ((ARRAY['ACTIVE'::character varying, 'MUTED'::character varying])::text[]))
   FROM channel_members cm
  WHERE ((cm.channel_id = poll_votes.channel_id) AND (cm.user_id = ( SELECT app_user_id() AS app_user_id)))))));
create policy vote_delete_policy on poll_votes as permissive for delete to discuss_service
  using (((tenant_id = ( SELECT app_tenant_id() AS app_tenant_id)) AND (user_id = ( SELECT app_user_id() AS app_user_id))));
create policy vote_insert_policy on poll_votes as permissive for insert to discuss_service
  with check (((tenant_id = ( SELECT app_tenant_id() AS app_tenant_id)) AND (user_id = ( SELECT app_user_id() AS app_user_id)) AND ( SELECT ((cm.status)::text = ANY ((ARRAY['ACTIVE'::character varying, 'MUTED'::character varying])::text[]))
   FROM channel_members cm
  WHERE ((cm.channel_id = poll_votes.channel_id) AND (cm.user_id = ( SELECT app_user_id() AS app_user_id))))));
grant delete, insert, select on poll_votes to discuss_service;
grant delete, insert, select, update on poll_votes to discuss_system;
comment on table poll_votes is 'Votes on polls, one row for each option a user chose. What is asked is in messages.metadata.poll_data; results are counted from here. Gone with the deletion of the message.';
comment on column poll_votes.tenant_id is 'Tenant of the channel.';
comment on column poll_votes.message_id is 'The message that holds the poll.';
comment on column poll_votes.user_id is 'User who voted; shown to nobody when the poll is anonymous.';
comment on column poll_votes.option_id is 'Option chosen, 1 for the first.';
comment on column poll_votes.channel_id is 'Channel of the message.';
comment on column poll_votes.created_at is 'When the vote was cast, epoch ms.';

create table schema_migrations (
  name text not null,
  checksum text not null,
  applied_at bigint not null,
  constraint schema_migrations_pkey PRIMARY KEY (name)
);
alter table schema_migrations enable row level security, force row level security;
create policy owner_policy on schema_migrations as permissive for all to owner
  using (true)
  with check (true);
grant select on schema_migrations to discuss_service;
comment on table schema_migrations is 'Migrations applied to this database, in the order of their names.';
comment on column schema_migrations.name is 'File name of the migration.';
comment on column schema_migrations.checksum is 'SHA-256 of the file as it was applied.';
comment on column schema_migrations.applied_at is 'When it was applied, epoch ms.';

create table search_words (
  tenant_id bigint not null,
  word text not null,
  horizon xid8,
  constraint search_words_pkey PRIMARY KEY (tenant_id, word)
);
CREATE INDEX idx_search_words_parts ON public.search_words USING gin ((ARRAY[tenant_id]), word gin_trgm_ops);
alter table search_words enable row level security, force row level security;
create policy system_policy on search_words as permissive for all to discuss_system
  using (true)
  with check (true);
grant select on search_words to discuss_service;
grant delete, insert, select, update on search_words to discuss_system;
comment on table search_words is 'Words of a tenant''s messages, for finding words by a part of them. An index of the parts themselves would have to be kept on every post; this is kept in the background by learn_search_words(). A word outlives its messages.';
comment on column search_words.tenant_id is 'Tenant of the messages.';
comment on column search_words.word is 'The word without diacritics, in lower case, 4 characters or more.';
comment on column search_words.horizon is 'Null but for the empty word of tenant 0, which is no tenant: events of all transactions below this one have been looked through.';

create table thread_followers (
  tenant_id bigint not null,
  root_id bigint not null,
  user_id bigint not null,
  channel_id bigint not null,
  is_following boolean not null default true,
  read_reply_id bigint not null default 0,
  replies integer not null default 0,
  first_reply_id bigint,
  constraint thread_followers_channel_id_fkey FOREIGN KEY (channel_id) REFERENCES channels(id) ON DELETE CASCADE,
  constraint thread_followers_pkey PRIMARY KEY (tenant_id, root_id, user_id)
);
CREATE INDEX idx_thread_followers_channel ON public.thread_followers USING btree (channel_id);
CREATE INDEX idx_thread_followers_user ON public.thread_followers USING btree (tenant_id, user_id) WHERE is_following;
alter table thread_followers enable row level security, force row level security;
create policy follower_access_policy on thread_followers as permissive for all to discuss_service
  using (((tenant_id = ( SELECT app_tenant_id() AS app_tenant_id)) AND (user_id = ( SELECT app_user_id() AS app_user_id)) AND ( SELECT ((cm.status)::text = ANY ((ARRAY['ACTIVE'::character varying, 'MUTED'::character varying])::text[]))
   FROM channel_members cm
  WHERE ((cm.channel_id = thread_followers.channel_id) AND (cm.user_id = ( SELECT app_user_id() AS app_user_id))))));
create policy system_policy on thread_followers as permissive for all to discuss_system
  using (true)
  with check (true);
grant insert, select, update on thread_followers to discuss_service;
grant delete, insert, select, update on thread_followers to discuss_system;
comment on table thread_followers is 'Who follows a thread, how far each has read it, and how many replies each has in it. A row is made by replying, by being replied to or mentioned, or by following; one that says no stays, so that nothing but the user makes them follow again.';
comment on column thread_followers.tenant_id is 'Tenant of the channel.';
comment on column thread_followers.root_id is 'First message of the thread.';
comment on column thread_followers.user_id is 'The user.';
comment on column thread_followers.channel_id is 'Channel of the thread.';
comment on column thread_followers.is_following is 'Whether the thread is on the user''s list of threads.';
comment on column thread_followers.read_reply_id is 'The read marker: replies up to this id are read. Goes forward only.';
comment on column thread_followers.replies is 'Replies of the user that are not deleted.';
comment on column thread_followers.first_reply_id is 'The reply that made the user a participant; null without replies.';

create table user_statuses (
  tenant_id bigint not null,
  user_id bigint not null,
  status character varying(50) not null,
  status_text character varying(100) not null default ''::character varying,
  expires_at bigint,
  updated_at bigint not null,
  constraint user_statuses_pkey PRIMARY KEY (tenant_id, user_id),
  constraint valid_user_status CHECK (((status)::text = ANY ((ARRAY['ONLINE'::character varying, 'AWAY'::character varying, 'BUSY'::character varying, 'OFFLINE'::character varying])::text[])))
);
alter table user_statuses enable row level security, force row level security;
create policy status_access_policy on user_statuses as permissive for all to discuss_service
  using (((tenant_id = ( SELECT app_tenant_id() AS app_tenant_id)) AND (user_id = ( SELECT app_user_id() AS app_user_id))));
create policy system_policy on user_statuses as permissive for all to discuss_system
  using (true)
  with check (true);
grant insert, select, update on user_statuses to discuss_service;
grant delete, insert, select, update on user_statuses to discuss_system;
comment on table user_statuses is 'What users chose to be shown as; no row for those who never chose. Others see the text, and of the status what it makes of their presence.';
comment on column user_statuses.tenant_id is 'Tenant of the user.';
comment on column user_statuses.user_id is 'The user.';
comment on column user_statuses.status is 'ONLINE: as the devices say; AWAY; BUSY; OFFLINE: not to be seen.';
comment on column user_statuses.status_text is 'Text beside the status; empty: none.';
comment on column user_statuses.expires_at is 'When status and text end, epoch ms; null: never.';
comment on column user_statuses.updated_at is 'When it was chosen, epoch ms; grows with every change, so that a late copy of an older choice is known as such.';

-- Views

create view trending_channels with (security_invoker=true) as
 SELECT id,
    tenant_id,
    name,
    type,
    member_count,
    message_count,
    recent_message_count
   FROM ( SELECT n.id,
            n.tenant_id,
            n.name,
            n.type,
            n.member_count,
            n.message_count,
            n.recent_message_count,
            row_number() OVER (PARTITION BY n.tenant_id ORDER BY n.recent_message_count DESC, n.id) AS place
           FROM ( SELECT c.id,
                    c.tenant_id,
                    c.name,
                    c.type,
                    c.member_count,
                    c.message_count,
                    recent_message_count(c.id) AS recent_message_count
                   FROM channels c
                  WHERE ((c.is_archived = false) AND (c.deleted_at IS NULL) AND ((c.type)::text = 'GROUP'::text))) n) r
  WHERE (place <= 100)
  ORDER BY recent_message_count DESC;
grant select on trending_channels to discuss_service;
comment on view trending_channels is 'The 100 groups of each tenant with the most messages in the last 24 hours.';

create view user_channels with (security_invoker=true) as
 SELECT cm.user_id,
    cm.tenant_id,
    c.id AS channel_id,
    c.name,
    c.type,
    c.entity_type,
    c.entity_id,
    c.last_message_at,
    (GREATEST((0)::bigint, (((c.post_seq - cm.read_post_seq) - (cm.own_posts - cm.own_posts_read)) - ( SELECT count(*) AS count
           FROM deleted_posts d
          WHERE ((d.channel_id = c.id) AND (d.post_seq > cm.read_post_seq) AND (d.sender_id <> cm.user_id))))))::integer AS unread_count,
    cm.is_pinned,
    cm.is_muted,
    cm.role,
    COALESCE(( SELECT m.content
           FROM messages m
          WHERE ((m.id = c.last_message_id) AND (m.is_deleted = false) AND (m.notice IS NULL))), ( SELECT m.content
           FROM messages m
          WHERE ((m.channel_id = c.id) AND (m.is_deleted = false) AND (m.notice IS NULL))
          ORDER BY m.id DESC
         LIMIT 1)) AS last_message_preview,
    c.member_count
   FROM (channel_members cm
     JOIN channels c ON ((c.id = cm.channel_id)))
  WHERE (((cm.status)::text = 'ACTIVE'::text) AND (c.is_archived = false) AND (c.deleted_at IS NULL))
  ORDER BY cm.is_pinned DESC, c.last_message_at DESC NULLS LAST;
grant select on user_channels to discuss_service;
comment on view user_channels is 'The channels of each user with unread number and preview; unread_count is the exact number.';

-- Functions

CREATE OR REPLACE FUNCTION public.activity_json(_a activity_feed, _preview text)
 RETURNS json
 LANGUAGE sql
 STABLE PARALLEL SAFE
RETURN json_build_object('id', (_a).id, 'tenantId', (_a).tenant_id, 'userId', (_a).user_id, 'actionType', (_a).action_type, 'actorId', (_a).actor_id, 'entityType', (_a).entity_type, 'entityId', (_a).entity_id, 'channelId', (_a).channel_id, 'messageId', (_a).message_id, 'description', (_a).description, 'title', (_a).title, 'isRead', (_a).is_read, 'readAt', (_a).read_at, 'metadata', ((_a).metadata)::text, 'collapseKey', (_a).collapse_key, 'occurrences', (_a).occurrences, 'timestamp', (_a)."timestamp", 'preview', "left"(_preview, 200), 'isMessageDeleted', false);
comment on function activity_json(activity_feed,text) is 'An activity that was just recorded, as the service tells it to the streams of its user.';

CREATE OR REPLACE FUNCTION public.activity_text(_type text, _actor_name text, _channel_name text, _emoji text DEFAULT ''::text)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
RETURN (CASE WHEN (_actor_name = ''::text) THEN CASE _type WHEN 'MENTION_RECEIVED'::text THEN 'You were mentioned'::text WHEN 'REPLY_RECEIVED'::text THEN 'There is a reply'::text WHEN 'REACTION_RECEIVED'::text THEN format('There is a reaction %s to your message'::text, _emoji) ELSE 'You were added'::text END ELSE (_actor_name || CASE _type WHEN 'MENTION_RECEIVED'::text THEN ' mentioned you'::text WHEN 'REPLY_RECEIVED'::text THEN ' replied'::text WHEN 'REACTION_RECEIVED'::text THEN format(' reacted %s to your message'::text, _emoji) ELSE ' added you'::text END) END || CASE WHEN (_channel_name = ''::text) THEN ''::text WHEN (_type = 'ADDED_TO_CHANNEL'::text) THEN (' to '::text || _channel_name) ELSE (' in '::text || _channel_name) END);
comment on function activity_text(text,text,text,text) is 'The English sentence of an activity: "Lan mentioned you in Kho vận". Clients that speak other languages make theirs of type and metadata.';

CREATE OR REPLACE FUNCTION public.app_is_member(p_channel_id bigint)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
  return exists (
    select 1
    from channel_members cm
    where cm.channel_id = p_channel_id
      and cm.user_id = app_user_id()
      and cm.tenant_id = app_tenant_id()
      and cm.status in ('ACTIVE', 'MUTED')
  );
end
$function$;
alter function app_is_member(bigint) owner to discuss_system;
revoke all on function app_is_member(bigint) from public;
grant execute on function app_is_member(bigint) to discuss_service;
comment on function app_is_member(bigint) is 'Whether the caller is in the channel. For the policies of channel_members only, which cannot ask the table about itself; measured 12 to 18 times cheaper there than an array of all channels of the caller.';

CREATE OR REPLACE FUNCTION public.app_is_service()
 RETURNS boolean
 LANGUAGE sql
 STABLE PARALLEL SAFE
RETURN COALESCE((current_setting('app.role'::text, true) = 'service'::text), false);
comment on function app_is_service() is 'Whether the caller is a service with rights over its whole tenant: the setting app.role is ''service''.';

CREATE OR REPLACE FUNCTION public.app_may_add_member(p_channel_id bigint, p_user_id bigint)
 RETURNS boolean
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
BEGIN ATOMIC
 SELECT (EXISTS ( SELECT 1
            FROM channels c
           WHERE ((c.id = app_may_add_member.p_channel_id) AND (c.tenant_id = app_tenant_id()) AND (c.deleted_at IS NULL) AND (app_is_service() OR ((app_may_add_member.p_user_id = app_user_id()) AND ((c.type)::text = 'GROUP'::text) AND (NOT c.is_private)) OR ((c.created_by = app_user_id()) AND (NOT (EXISTS ( SELECT 1
                    FROM channel_members cm
                   WHERE (cm.channel_id = c.id))))) OR (EXISTS ( SELECT 1
                    FROM channel_members cm
                   WHERE ((cm.channel_id = c.id) AND (cm.user_id = app_user_id()) AND ((cm.status)::text = ANY ((ARRAY['ACTIVE'::character varying, 'MUTED'::character varying])::text[]))))))))) AS "exists";
END;
alter function app_may_add_member(bigint,bigint) owner to discuss_system;
revoke all on function app_may_add_member(bigint,bigint) from public;
grant execute on function app_may_add_member(bigint,bigint) to discuss_service;
comment on function app_may_add_member(bigint,bigint) is 'Whether the caller may make this user a member of this channel. Roles are checked by the statements, not here.';

CREATE OR REPLACE FUNCTION public.app_tenant_id()
 RETURNS bigint
 LANGUAGE sql
 STABLE PARALLEL SAFE
RETURN (NULLIF(current_setting('app.tenant_id'::text, true), ''::text))::bigint;
comment on function app_tenant_id() is 'Tenant of the caller, from the setting app.tenant_id; null when unset, which no policy lets through.';

CREATE OR REPLACE FUNCTION public.app_user_id()
 RETURNS bigint
 LANGUAGE sql
 STABLE PARALLEL SAFE
RETURN (NULLIF(current_setting('app.user_id'::text, true), ''::text))::bigint;
comment on function app_user_id() is 'User the caller is or acts for, from the setting app.user_id; null when unset.';

CREATE OR REPLACE FUNCTION public.append_event(_channel_id bigint, _kind text, _actor_id bigint, _payload bytea, _seq_at integer, _message_id bigint DEFAULT NULL::bigint)
 RETURNS TABLE(channel_id bigint, seq bigint, payload bytea)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
  _seq bigint;
  _now bigint := now_ms();
  _stamped bytea;
begin
  update channels c
  set event_seq = c.event_seq + 1
  where c.id = _channel_id and c.tenant_id = app_tenant_id()
  returning c.event_seq into _seq;
  if not found then
    raise exception 'append_event: channel % is not of the tenant', _channel_id using errcode = 'insufficient_privilege';
  end if;
  _stamped := stamp_event(_payload, _seq_at, _seq, _now);
  insert into channel_events (channel_id, seq, tenant_id, kind, message_id, actor_id, created_at, payload)
  values (_channel_id, _seq, app_tenant_id(), _kind, _message_id, _actor_id, _now, _stamped);
  return query select _channel_id, _seq, _stamped;
end
$function$;
alter function append_event(bigint,text,bigint,bytea,integer,bigint) owner to discuss_system;
revoke all on function append_event(bigint,text,bigint,bytea,integer,bigint) from public;
grant execute on function append_event(bigint,text,bigint,bytea,integer,bigint) to discuss_service;
comment on function append_event(bigint,text,bigint,bytea,integer,bigint) is 'Appends an event, perhaps about a message, to the log of a channel of the caller''s tenant and returns it as logged. Keeps the channel''s row locked until commit.';

CREATE OR REPLACE FUNCTION public.assign_post_seq()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
  _last_message_id bigint;
begin
  -- Takes the channel's row lock, which send_messages() takes for its whole batch.
  update channels c
  set post_seq = c.post_seq + 1,
      last_message_id = greatest(c.last_message_id, new.id)
  where c.id = new.channel_id
  returning c.post_seq, c.last_message_id into new.post_seq, _last_message_id;

  if not found then
    raise exception 'channel % does not exist', new.channel_id
      using errcode = 'foreign_key_violation', constraint = 'messages_channel_id_fkey';
  end if;
  if _last_message_id != new.id then
    raise exception 'message % would come after message % of its channel', new.id, _last_message_id
      using errcode = 'serialization_failure', hint = 'Insert the messages of a channel in the order of their ids.';
  end if;

  update channel_members m
  set own_posts = m.own_posts + 1
  where m.channel_id = new.channel_id
    and m.user_id = new.sender_id;

  return new;
end
$function$;
alter function assign_post_seq() owner to discuss_system;
revoke all on function assign_post_seq() from public;
comment on function assign_post_seq() is 'Numbers a message inserted without post_seq (imports, plain SQL) and counts it for channel and sender. Who gives post_seq keeps channels.post_seq, last_message_id and channel_members.own_posts himself.';

CREATE OR REPLACE FUNCTION public.browse_channels(_words text[], _after bigint, _limit integer)
 RETURNS TABLE(channel_id bigint, place bigint)
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
  _patterns constant text[] := array(
    select case when length(w) < 3 then '% ' else '%' end || fold_text(w) || '%' from unnest(_words) as w
  );
begin
  return query
  select c.id, row_number() over (order by n.name collate "C", c.id)
  from channels c
  join channel_names n on n.channel_id = c.id
  where c.tenant_id = app_tenant_id()
    and c.type = 'GROUP'
    and not c.is_private
    and not c.is_archived
    and c.deleted_at is null
    and n.name like all (_patterns)
    and (
      _after is null
      or (n.name collate "C", c.id) > (
        select a.name collate "C", a.channel_id
        from channel_names a
        where a.channel_id = _after
          and a.tenant_id = app_tenant_id()
      )
    )
  order by n.name collate "C", c.id
  limit _limit;
end
$function$;
alter function browse_channels(text[],bigint,integer) owner to discuss_system;
revoke all on function browse_channels(text[],bigint,integer) from public;
grant execute on function browse_channels(text[],bigint,integer) to discuss_service;
comment on function browse_channels(text[],bigint,integer) is 'Public groups of the caller''s tenant whose names hold all the words, by name, after the one given. The names are kept apart for searches, where no policy shows them to the service.';

CREATE OR REPLACE FUNCTION public.change_reaction(_channel_id bigint, _message_id bigint, _emoji text, _added boolean, _max_emoji integer, _max_users integer, _payload bytea, _seq_at integer)
 RETURNS TABLE(refusal text, reactions text, seq bigint, payload bytea)
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
#variable_conflict use_column
declare
  _user_id bigint := app_user_id();
  _found record;
  _changed jsonb;
  _seq bigint;
  _logged bytea;
begin
  perform 1
  from channels c
  where c.id = _channel_id and c.tenant_id = app_tenant_id() and c.deleted_at is null
  for no key update;

  -- Not one statement with the lock: what it would see is older than what the lock waited for.
  select c.is_archived, cm.status, m.id, m.is_deleted, m.reactions, c.event_seq
  into _found
  from channels c
  join channel_members cm
    on cm.channel_id = c.id and cm.user_id = _user_id and cm.status in ('ACTIVE', 'MUTED')
  left join messages m on m.id = _message_id and m.channel_id = c.id and m.tenant_id = c.tenant_id
  where c.id = _channel_id and c.tenant_id = app_tenant_id() and c.deleted_at is null;

  if not found or _found.id is null then
    return query select 'MESSAGE_NOT_FOUND', null::text, null::bigint, null::bytea;
    return;
  end if;
  _changed := with_reaction(_found.reactions, _emoji, _user_id, _added);
  refusal := case
    when _found.is_deleted then 'MESSAGE_DELETED'
    when _found.is_archived then 'CHANNEL_ARCHIVED'
    when _found.status = 'MUTED' then 'MEMBER_MUTED'
    when _changed = _found.reactions then null
    when _added and (
      jsonb_array_length(_changed) > _max_emoji
      or exists (
        select 1
        from jsonb_array_elements(_changed) as r
        where r ->> 'emoji' = _emoji and jsonb_array_length(r -> 'users') > _max_users
      )
    ) then 'REACTION_LIMIT'
  end;
  if refusal is not null or _changed = _found.reactions then
    return query select refusal, _found.reactions::text, null::bigint, null::bytea;
    return;
  end if;

  update messages m
  set reactions = _changed,
      event_seq = _found.event_seq + 1,
      updated_at = now_ms()
  where m.id = _message_id and m.tenant_id = app_tenant_id();

  select e.seq, e.payload
  into _seq, _logged
  from append_event(_channel_id, 'REACTION_CHANGED', _user_id, _payload, _seq_at, _message_id) as e;
  return query select null::text, _changed::text, _seq, _logged;
end
$function$;
comment on function change_reaction(bigint,bigint,text,boolean,integer,integer,bytea,integer) is 'Adds or takes away the caller''s reaction in one round trip, under the lock of the channel, and logs the event. refusal is null when it is as asked now; seq is null when it was so before.';

CREATE OR REPLACE FUNCTION public.channel_truth(_ids bigint[])
 RETURNS TABLE(channel_id bigint, member_count integer, members integer, message_count integer, messages integer, last_message_at bigint, last_at bigint, last_message_id bigint, last_id bigint, post_seq bigint, last_post bigint, event_seq bigint, last_event bigint)
 LANGUAGE sql
 STABLE
 SET search_path TO 'public', 'pg_temp'
 SET enable_nestloop TO 'off'
BEGIN ATOMIC
 WITH posted AS MATERIALIZED (
          SELECT m.channel_id,
             m.id,
             m.post_seq,
             m.created_at,
             (m.notice IS NULL) AS counts
            FROM messages m
           WHERE (m.channel_id = ANY (channel_truth._ids))
         ), newest AS (
          SELECT p.channel_id,
             (count(*) FILTER (WHERE p.counts))::integer AS messages,
             max(p.created_at) FILTER (WHERE p.counts) AS last_at,
             max(p.post_seq) FILTER (WHERE p.counts) AS last_counting,
             max(p.id) AS last_id,
             max(p.post_seq) AS last_post
            FROM posted p
           GROUP BY p.channel_id
         ), noted AS (
          SELECT d_1.channel_id,
             max(d_1.post_seq) AS last_noted,
             max(d_1.post_seq) FILTER (WHERE (p.id IS NULL)) AS last_removed
            FROM (deleted_posts d_1
              LEFT JOIN posted p ON (((p.channel_id = d_1.channel_id) AND (p.post_seq = d_1.post_seq))))
           WHERE (d_1.channel_id = ANY (channel_truth._ids))
           GROUP BY d_1.channel_id
         )
  SELECT c.id,
     c.member_count,
     ( SELECT (count(*))::integer AS count
            FROM channel_members m
           WHERE ((m.channel_id = c.id) AND ((m.status)::text = 'ACTIVE'::text))) AS count,
     c.message_count,
     COALESCE(n.messages, 0) AS "coalesce",
     c.last_message_at,
         CASE
             WHEN (d.last_removed > COALESCE(n.last_counting, (0)::bigint)) THEN GREATEST(c.last_message_at, n.last_at)
             ELSE n.last_at
         END AS last_at,
     c.last_message_id,
         CASE
             WHEN (d.last_removed > COALESCE(n.last_post, (0)::bigint)) THEN GREATEST(c.last_message_id, n.last_id)
             ELSE n.last_id
         END AS last_id,
     c.post_seq,
     GREATEST(n.last_post, d.last_noted, (0)::bigint) AS "greatest",
     c.event_seq,
     GREATEST(c.event_seq, ( SELECT max(e.seq) AS max
            FROM channel_events e
           WHERE (e.channel_id = c.id))) AS "greatest"
    FROM ((channels c
      LEFT JOIN newest n ON ((n.channel_id = c.id)))
      LEFT JOIN noted d ON ((d.channel_id = c.id)))
   WHERE (c.id = ANY (channel_truth._ids));
END;
alter function channel_truth(bigint[]) owner to discuss_system;
revoke all on function channel_truth(bigint[]) from public;
comment on function channel_truth(bigint[]) is 'Numbers of channels as stored, each followed by what it should be, counted by hand.';

CREATE OR REPLACE FUNCTION public.chosen_statuses(_tenant_ids bigint[], _user_ids bigint[])
 RETURNS TABLE(tenant_id bigint, user_id bigint, status text, expires_at bigint, updated_at bigint)
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
  return query
  select u.tenant_id, u.user_id, s.status::text, s.expires_at, s.updated_at
  from unnest(_tenant_ids, _user_ids) as u(tenant_id, user_id)
  join user_statuses s on s.tenant_id = u.tenant_id and s.user_id = u.user_id;
end
$function$;
alter function chosen_statuses(bigint[],bigint[]) owner to discuss_system;
revoke all on function chosen_statuses(bigint[],bigint[]) from public;
grant execute on function chosen_statuses(bigint[],bigint[]) to discuss_service;
comment on function chosen_statuses(bigint[],bigint[]) is 'What users chose, of several tenants: for the copy in Redis, made when a device of theirs appears.';

CREATE OR REPLACE FUNCTION public.count_tenants()
 RETURNS bigint
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
BEGIN ATOMIC
 WITH RECURSIVE tenants AS (
         ( SELECT c.tenant_id
            FROM channels c
           ORDER BY c.tenant_id
          LIMIT 1)
         UNION ALL
          SELECT ( SELECT c.tenant_id
                    FROM channels c
                   WHERE (c.tenant_id > t_1.tenant_id)
                   ORDER BY c.tenant_id
                  LIMIT 1) AS tenant_id
            FROM tenants t_1
           WHERE (t_1.tenant_id IS NOT NULL)
         )
  SELECT count(t.tenant_id) AS count
    FROM tenants t
   WHERE (current_setting('app.role'::text, true) = 'operator'::text);
END;
alter function count_tenants() owner to discuss_system;
revoke all on function count_tenants() from public;
grant execute on function count_tenants() to discuss_service;
comment on function count_tenants() is 'How many tenants have or had a channel. For operators; 0 for others.';

CREATE OR REPLACE FUNCTION public.database_epoch()
 RETURNS text
 LANGUAGE sql
 STABLE PARALLEL SAFE
 SET search_path TO 'public', 'pg_temp'
RETURN (hashtextextended((((((current_database())::text || ' '::text) || ('channels'::regclass)::oid) || ' '::text) || EXTRACT(epoch FROM pg_postmaster_start_time())), (0)::bigint))::text;
revoke all on function database_epoch() from public;
grant execute on function database_epoch() to discuss_service;
comment on function database_epoch() is 'Tells this database from others, and from itself before it was restored: what is kept elsewhere under another one is void. Changes whenever PostgreSQL is started.';

CREATE OR REPLACE FUNCTION public.database_stats()
 RETURNS TABLE(name text, rows_estimate bigint, bytes bigint)
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
BEGIN ATOMIC
 SELECT t.name,
     (sum(GREATEST(p.reltuples, (0)::real)))::bigint AS sum,
     (sum(pg_total_relation_size((p.oid)::regclass)))::bigint AS sum
    FROM ((( SELECT c.oid,
             (c.relname)::text AS name
            FROM pg_class c
           WHERE ((c.relnamespace = ('public'::regnamespace)::oid) AND (c.relkind = ANY (ARRAY['r'::"char", 'p'::"char"])) AND (NOT c.relispartition))
         UNION ALL
          SELECT c.oid,
             (c.relname)::text AS relname
            FROM (pg_inherits i
              JOIN pg_class c ON ((c.oid = i.inhrelid)))
           WHERE (i.inhparent = ('channel_events'::regclass)::oid)) t
      CROSS JOIN LATERAL ( SELECT q.relid AS oid
            FROM pg_partition_tree((t.oid)::regclass) q(relid, parentrelid, isleaf, level)
           WHERE q.isleaf) l)
      JOIN pg_class p ON ((p.oid = (l.oid)::oid)))
   WHERE (current_setting('app.role'::text, true) = 'operator'::text)
   GROUP BY t.name
   ORDER BY t.name;
END;
alter function database_stats() owner to discuss_system;
revoke all on function database_stats() from public;
grant execute on function database_stats() to discuss_service;
comment on function database_stats() is 'Size of each table and of each day of the log, rows as PostgreSQL estimates them. For operators; nothing for others.';

CREATE OR REPLACE FUNCTION public.delete_message(_channel_id bigint, _message_id bigint, _actor_id bigint, _now bigint, _created bytea, _created_seq_at integer, _later bytea, _later_seq_at integer)
 RETURNS TABLE(root_id bigint, thread_count integer, thread_user_count integer, thread_users bigint[], last_reply_at bigint)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
#variable_conflict use_column
declare
  _tenant_id bigint := app_tenant_id();
  _next_seq bigint;
  _message record;
  _replies int;
begin
  select c.event_seq + 1
  into _next_seq
  from channels c
  where c.id = _channel_id and c.tenant_id = _tenant_id
  for no key update;

  update messages m
  set is_deleted = true,
      deleted_at = _now,
      deleted_by = _actor_id,
      reactions = '[]',
      pinned_at = null,
      pinned_by = null,
      pin_seq = null,
      event_seq = _next_seq,
      updated_at = _now
  where m.id = _message_id
    and m.channel_id = _channel_id
    and m.tenant_id = _tenant_id
    and not m.is_deleted
  returning m.parent_id, m.sender_id, m.posted_seq into _message;
  if not found then
    return;
  end if;

  delete from message_edits e where e.tenant_id = _tenant_id and e.message_id = _message_id;
  delete from poll_votes v where v.tenant_id = _tenant_id and v.message_id = _message_id;

  -- What the log holds of it must not be told to those who come later.
  update channel_events e
  set payload = stamp_event(_created, _created_seq_at, e.seq, e.created_at)
  where e.channel_id = _channel_id and e.seq = _message.posted_seq and e.kind = 'MESSAGE_CREATED';
  update channel_events e
  set payload = stamp_event(_later, _later_seq_at, e.seq, e.created_at)
  where e.tenant_id = _tenant_id and e.message_id = _message_id and e.kind != 'MESSAGE_CREATED';

  if _message.parent_id is null then
    return;
  end if;
  update thread_followers f
  set replies = f.replies - 1,
      first_reply_id = case when f.replies > 1 then f.first_reply_id end
  where f.tenant_id = _tenant_id and f.root_id = _message.parent_id and f.user_id = _message.sender_id
  returning f.replies into _replies;

  return query
  update messages m
  set thread_count = greatest(0, m.thread_count - 1),
      thread_user_count = m.thread_user_count - case when _replies = 0 then 1 else 0 end,
      thread_users = case
        when _replies = 0 then array(
          select f.user_id
          from thread_followers f
          where f.tenant_id = _tenant_id and f.root_id = m.id and f.replies > 0
          order by f.first_reply_id
          limit 5
        )
        else m.thread_users
      end,
      last_reply_at = (
        select r.created_at
        from messages r
        where r.parent_id = m.id and not r.is_deleted
        order by r.id desc
        limit 1
      ),
      event_seq = _next_seq
  where m.id = _message.parent_id and m.tenant_id = _tenant_id
  returning m.id, m.thread_count, m.thread_user_count, m.thread_users, m.last_reply_at;
end
$function$;
alter function delete_message(bigint,bigint,bigint,bigint,bytea,integer,bytea,integer) owner to discuss_system;
revoke all on function delete_message(bigint,bigint,bigint,bigint,bytea,integer,bytea,integer) from public;
grant execute on function delete_message(bigint,bigint,bigint,bigint,bytea,integer,bytea,integer) to discuss_service;
comment on function delete_message(bigint,bigint,bigint,bigint,bytea,integer,bytea,integer) is 'Deletes a message of the caller''s tenant softly: its edits, votes, reactions and pin go, its events in the log are replaced by _created (the first one) and _later, and its thread is counted anew. Returns the thread as it is now when the message was a reply. The event of the deletion is the caller''s to append, next, as are the checks of who may.';

CREATE OR REPLACE FUNCTION public.deleted_post_truth(_ids bigint[])
 RETURNS TABLE(channel_id bigint, post_seq bigint, tenant_id bigint, sender_id bigint, is_noted boolean, is_due boolean)
 LANGUAGE sql
 STABLE
 SET search_path TO 'public', 'pg_temp'
 SET enable_nestloop TO 'off'
BEGIN ATOMIC
 SELECT c.id,
     n.post_seq,
     c.tenant_id,
     COALESCE(m.sender_id, (0)::bigint) AS "coalesce",
     (d.post_seq IS NOT NULL),
     ((m.id IS NULL) OR (NOT m.counts))
    FROM (((channels c
      CROSS JOIN LATERAL generate_series((1)::bigint, GREATEST(( SELECT x.post_seq
            FROM messages x
           WHERE (x.channel_id = c.id)
           ORDER BY x.id DESC
          LIMIT 1), ( SELECT max(x.post_seq) AS max
            FROM deleted_posts x
           WHERE (x.channel_id = c.id)))) n(post_seq))
      LEFT JOIN ( SELECT x.channel_id,
             x.post_seq,
             x.id,
             x.sender_id,
             ((NOT x.is_deleted) AND (x.notice IS NULL)) AS counts
            FROM messages x
           WHERE (x.channel_id = ANY (deleted_post_truth._ids))) m ON (((m.channel_id = c.id) AND (m.post_seq = n.post_seq))))
      LEFT JOIN deleted_posts d ON (((d.channel_id = c.id) AND (d.post_seq = n.post_seq))))
   WHERE (c.id = ANY (deleted_post_truth._ids));
END;
alter function deleted_post_truth(bigint[]) owner to discuss_system;
revoke all on function deleted_post_truth(bigint[]) from public;
comment on function deleted_post_truth(bigint[]) is 'Every number of a message, whether it is noted as counting for nobody, and whether it should be.';

CREATE OR REPLACE FUNCTION public.derived_unread(p_channel_id bigint, p_user_id bigint, p_post_seq bigint, p_read_post_seq bigint, p_own_posts bigint, p_own_posts_read bigint)
 RETURNS integer
 LANGUAGE sql
 STABLE PARALLEL SAFE
BEGIN ATOMIC
 SELECT (GREATEST((0)::bigint, (((p_post_seq - p_read_post_seq) - (p_own_posts - p_own_posts_read)) - ( SELECT count(*) AS count
            FROM deleted_posts d
           WHERE ((d.channel_id = derived_unread.p_channel_id) AND (d.post_seq > derived_unread.p_read_post_seq) AND (d.sender_id <> derived_unread.p_user_id))))))::integer AS "greatest";
END;
comment on function derived_unread(bigint,bigint,bigint,bigint,bigint,bigint) is 'The exact unread number of a member: messages after the marker, without own and deleted ones. Arguments: channel, user, channels.post_seq, then the member''s read_post_seq, own_posts, own_posts_read.';

CREATE OR REPLACE FUNCTION public.drop_old_event_partitions(p_days integer, p_now_ms bigint DEFAULT now_ms())
 RETURNS SETOF text
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
 SET lock_timeout TO '250ms'
AS $function$
declare
  _day constant bigint := 86400000;
  _first_kept bigint := (p_now_ms / _day - p_days) * _day;
  _raise_floor constant text := $raise$
    update event_feed f
    set floor_xid = e.xid, floor_id = e.id
    from (select xid, id from %I where created_at < %s order by xid desc, id desc limit 1) as e
    where (e.xid, e.id) > (f.floor_xid, f.floor_id)
  $raise$;
  _name text;
begin
  if p_days < 1 then
    raise exception 'the log must be kept for a day at least, not %', p_days using errcode = 'invalid_parameter_value';
  end if;
  perform pg_advisory_xact_lock(hashtext('discuss.ensure_partitions'));

  for _name in
    select c.relname
    from pg_inherits i
    join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'channel_events'::regclass
      and c.relname ~ '^channel_events_[0-9]{8}$'
      and to_date(right(c.relname, 8), 'YYYYMMDD') < (to_timestamp(_first_kept / 1000) at time zone 'UTC')::date
    order by c.relname
  loop
    begin
      execute format(_raise_floor, _name, _first_kept);
      execute format('drop table %I', _name);
      return next _name;
    exception
      when lock_not_available or deadlock_detected then
        raise warning 'dropping % and the rest is put off: %', _name, sqlerrm;
        exit;
    end;
  end loop;

  execute format(_raise_floor, 'channel_events_default', _first_kept);
  delete from channel_events_default where created_at < _first_kept;
end
$function$;
revoke all on function drop_old_event_partitions(integer,bigint) from public;
grant execute on function drop_old_event_partitions(integer,bigint) to discuss_service;
comment on function drop_old_event_partitions(integer,bigint) is 'Drops the days of the log that ended p_days full days ago or earlier, and notes in event_feed how far it reached in the order of the feed; returns what it dropped, warns of what it had to put off.';

CREATE OR REPLACE FUNCTION public.ensure_partitions(p_now_ms bigint DEFAULT now_ms())
 RETURNS SETOF text
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
 SET lock_timeout TO '250ms'
AS $function$
declare
  _span constant bigint := 30000000;
  _day constant bigint := 86400000;
  _plan record;
begin
  perform pg_advisory_xact_lock(hashtext('discuss.ensure_partitions'));

  for _plan in
    with days as (
      select distinct k / _day as day
      from (
        select p_now_ms + ahead * _day from generate_series(0, 7) as ahead
        union all
        select k from misplaced_keys('channel_events_default', 'created_at', _day) as k
      ) as keys(k)
    ),
    months as (
      select distinct date_trunc('month', to_timestamp(k / 1000.0) at time zone 'UTC') as month
      from (
        select
          floor(extract(epoch from (
            date_trunc('month', to_timestamp(p_now_ms / 1000.0) at time zone 'UTC') + ahead * interval '1 month'
          ) at time zone 'UTC') * 1000)::bigint
        from generate_series(0, 2) as ahead
        union all
        select k from misplaced_keys('activity_feed_default', 'timestamp', 28 * _day) as k
      ) as keys(k)
    ),
    spans as (
      select distinct k / _span as span
      from (
        select s.last_value + ahead * _span from messages_id_seq s, generate_series(0, 2) as ahead
        union all
        select k from misplaced_keys('messages_default', 'id', _span) as k
      ) as keys(k)
    )
    select 1 as turn, 'channel_events' as parent, 'created_at' as key, day * _day as low, (day + 1) * _day as high,
      'channel_events_' || to_char(to_timestamp(day * 86400) at time zone 'UTC', 'YYYYMMDD') as name
    from days
    union all
    select 2, 'activity_feed', 'timestamp',
      (extract(epoch from month at time zone 'UTC') * 1000)::bigint,
      (extract(epoch from (month + interval '1 month') at time zone 'UTC') * 1000)::bigint,
      'activity_feed_' || to_char(month, 'YYYY_MM')
    from months
    union all
    select 3, 'messages', 'id', span * _span, (span + 1) * _span,
      'messages_p' || lpad((span + 1)::text, greatest(6, length((span + 1)::text)), '0')
    from spans
    order by turn, low
  loop
    begin
      if make_partition(_plan.parent, _plan.name, _plan.key, _plan.low, _plan.high) then
        return next _plan.name;
      end if;
    exception
      when lock_not_available or deadlock_detected then
        -- Writers queue behind a lock that is waited for; so wait once, not once for each partition.
        raise warning 'partition % and the rest are put off: %', _plan.name, sqlerrm;
        exit;
    end;
  end loop;
end
$function$;
revoke all on function ensure_partitions(bigint) from public;
grant execute on function ensure_partitions(bigint) to discuss_service;
comment on function ensure_partitions(bigint) is 'Makes the partitions of the next 7 days (channel_events), 2 months (activity_feed) and 60,000,000 messages, and moves on what the default partitions caught. Returns what it made; warns of what it had to put off as the table was busy. Call it every hour.';

CREATE OR REPLACE FUNCTION public.fold_text(p_text text)
 RETURNS text
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE STRICT
AS $function$
begin
  return lower(public.unaccent('public.unaccent', normalize(p_text, nfc)));
end
$function$;
comment on function fold_text(text) is 'Text as compared in searches by parts of words: composed, without diacritics (đ included), lower case.';

CREATE OR REPLACE FUNCTION public.follower_truth(_ids bigint[])
 RETURNS TABLE(channel_id bigint, tenant_id bigint, root_id bigint, user_id bigint, replies integer, counted integer, first_reply_id bigint, first_id bigint)
 LANGUAGE sql
 STABLE
 SET search_path TO 'public', 'pg_temp'
 SET enable_nestloop TO 'off'
BEGIN ATOMIC
 SELECT f.channel_id,
     f.tenant_id,
     f.root_id,
     f.user_id,
     f.replies,
     COALESCE(r.replies, 0) AS "coalesce",
     f.first_reply_id,
         CASE
             WHEN (r.replies > 0) THEN LEAST(f.first_reply_id, r.first_id)
             ELSE NULL::bigint
         END AS "case"
    FROM (thread_followers f
      LEFT JOIN ( SELECT x.parent_id,
             x.sender_id,
             (count(*))::integer AS replies,
             min(x.id) AS first_id
            FROM messages x
           WHERE ((x.channel_id = ANY (follower_truth._ids)) AND (x.parent_id IS NOT NULL) AND (NOT x.is_deleted))
           GROUP BY x.parent_id, x.sender_id) r ON (((r.parent_id = f.root_id) AND (r.sender_id = f.user_id))))
   WHERE (f.channel_id = ANY (follower_truth._ids));
END;
alter function follower_truth(bigint[]) owner to discuss_system;
revoke all on function follower_truth(bigint[]) from public;
comment on function follower_truth(bigint[]) is 'Replies of those who follow threads as stored, each followed by what it should be, counted by hand.';

CREATE OR REPLACE FUNCTION public.keep_channel_name()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
  insert into channel_names (channel_id, tenant_id, name)
  values (new.id, new.tenant_id, search_name(new.name))
  on conflict (channel_id) do update set name = excluded.name;
  return null;
end
$function$;
alter function keep_channel_name() owner to discuss_system;
revoke all on function keep_channel_name() from public;
comment on function keep_channel_name() is 'Trigger of channels: keeps the name that SearchChannels looks at.';

CREATE OR REPLACE FUNCTION public.learn_search_words(_limit integer)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
  _to constant xid8 := pg_snapshot_xmin(pg_current_snapshot());
  _from xid8;
  _last xid8;
  _events int;
begin
  -- One at a time; whoever comes second has nothing to do.
  if not pg_try_advisory_xact_lock(hashtext('learn_search_words')) then
    return 0;
  end if;
  select w.horizon into _from from search_words w where w.tenant_id = 0 and w.word = '';
  -- Transactions are numbered anew where a dump was restored.
  if _from is null or _from > _to then
    _from := '0';
  end if;
  select count(*), max(e.xid) into _events, _last
  from (
    select xid from channel_events where xid >= _from and xid < _to order by xid, id limit _limit
  ) as e;
  if _events = 0 then
    return 0;
  end if;

  -- To the end of the last transaction, so that none is cut in two.
  insert into search_words (tenant_id, word)
  select distinct m.tenant_id, w.word
  from channel_events e
  join messages m on m.id = e.message_id and m.tenant_id = e.tenant_id
  cross join lateral unnest(tsvector_to_array(ts_filter(m.search_vector, '{a}'))) as w(word)
  where e.xid >= _from
    and e.xid <= _last
    and not m.is_deleted
    and length(w.word) between 4 and 64
  on conflict do nothing;

  insert into search_words (tenant_id, word, horizon)
  values (0, '', (_last::text::bigint + 1)::text::xid8)
  on conflict (tenant_id, word) do update set horizon = excluded.horizon;
  return _events;
end
$function$;
alter function learn_search_words(integer) owner to discuss_system;
revoke all on function learn_search_words(integer) from public;
grant execute on function learn_search_words(integer) to discuss_service;
comment on function learn_search_words(integer) is 'Adds the words of messages posted or changed since it was last called, from about _limit events; returns from how many, so that less than _limit means: all.';

CREATE OR REPLACE FUNCTION public.list_changed_channels(_from xid8, _to xid8)
 RETURNS TABLE(channel_id bigint, head bigint, joins bytea[])
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
BEGIN ATOMIC
 SELECT e.channel_id,
     max(e.seq) AS max,
     COALESCE(array_agg(e.payload ORDER BY e.seq) FILTER (WHERE (e.kind = 'MEMBERS_JOINED'::text)), '{}'::bytea[]) AS "coalesce"
    FROM channel_events e
   WHERE ((e.xid >= list_changed_channels._from) AND (e.xid < list_changed_channels._to))
   GROUP BY e.channel_id;
END;
alter function list_changed_channels(xid8,xid8) owner to discuss_system;
revoke all on function list_changed_channels(xid8,xid8) from public;
grant execute on function list_changed_channels(xid8,xid8) to discuss_service;
comment on function list_changed_channels(xid8,xid8) is 'Heads of the channels that got events from transactions in [_from, _to), and the joins among these. With both ends taken from pg_snapshot_xmin, consecutive calls miss nothing.';

CREATE OR REPLACE FUNCTION public.list_events(_channel_id bigint, _after bigint, _limit integer)
 RETURNS TABLE(channel_id bigint, seq bigint, payload bytea)
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
BEGIN ATOMIC
 SELECT e.channel_id,
     e.seq,
     e.payload
    FROM channel_events e
   WHERE ((e.channel_id = list_events._channel_id) AND (e.seq > list_events._after))
   ORDER BY e.seq
  LIMIT list_events._limit;
END;
alter function list_events(bigint,bigint,integer) owner to discuss_system;
revoke all on function list_events(bigint,bigint,integer) from public;
grant execute on function list_events(bigint,bigint,integer) to discuss_service;
comment on function list_events(bigint,bigint,integer) is 'Events of a channel after a seq, in order. For the hub, which checks who may have them.';

CREATE OR REPLACE FUNCTION public.list_inactive_groups(_before bigint, _limit integer)
 RETURNS TABLE(tenant_id bigint, channel_id bigint)
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
  select c.tenant_id, c.id
  from channels c
  where c.type = 'GROUP'
    and not c.is_archived
    and c.deleted_at is null
    and greatest(c.last_message_at, c.updated_at, c.created_at) < _before
  limit _limit
$function$;
alter function list_inactive_groups(bigint,integer) owner to discuss_system;
revoke all on function list_inactive_groups(bigint,integer) from public;
grant execute on function list_inactive_groups(bigint,integer) to discuss_service;
comment on function list_inactive_groups(bigint,integer) is 'Groups without a message or another change since _before, epoch ms. Reads all channels.';

CREATE OR REPLACE FUNCTION public.lock_public_group(_channel_id bigint)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
  perform 1
  from channels c
  where c.id = _channel_id
    and c.tenant_id = app_tenant_id()
    and c.type = 'GROUP'
    and not c.is_private
    and c.deleted_at is null
  for no key update;
  return found;
end
$function$;
alter function lock_public_group(bigint) owner to discuss_system;
revoke all on function lock_public_group(bigint) from public;
grant execute on function lock_public_group(bigint) to discuss_service;
comment on function lock_public_group(bigint) is 'Locks a public group of the caller''s tenant as every change of a channel does, for who is about to join it: the update policy, which holds for locks too, is of members. False when there is no such group.';

CREATE OR REPLACE FUNCTION public.make_partition(p_parent text, p_name text, p_key text, p_from bigint, p_to bigint)
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
declare
  _default text := p_parent || '_default';
  _columns text := partition_columns(p_parent::regclass);
  _misplaced boolean;
begin
  if to_regclass(p_name) is not null then
    return false;
  end if;

  -- In the order in which writers take them; attaching would take most of them later, in its own order.
  -- Readers are kept out of the default partition only, and for as long as it takes to look into it.
  if p_parent != 'channel_events' then
    lock table channels in share row exclusive mode;
    lock table only messages in share row exclusive mode;
  end if;
  execute format('lock table %I in access exclusive mode', _default);

  execute format(
    'create table %I (like %I including defaults including constraints including generated including storage)',
    p_name, p_parent
  );
  -- No policy: nobody but the owner sees a row by the partition's own name.
  execute format('alter table %I enable row level security', p_name);

  execute format('select exists (select 1 from %I where %I >= $1 and %I < $2)', _default, p_key, p_key)
  into _misplaced
  using p_from, p_to;

  if _misplaced then
    if p_parent = 'messages' then
      perform put_aside_references(p_from, p_to);
    end if;
    execute format(
      'insert into %I (%s) select %s from %I where %I >= $1 and %I < $2',
      p_name, _columns, _columns, _default, p_key, p_key
    ) using p_from, p_to;
    execute format('delete from %I where %I >= $1 and %I < $2', _default, p_key, p_key)
    using p_from, p_to;
  end if;

  execute format('alter table %I attach partition %I for values from (%s) to (%s)', p_parent, p_name, p_from, p_to);

  if _misplaced and p_parent = 'messages' then
    perform put_back_references();
  end if;
  return true;
end
$function$;
revoke all on function make_partition(text,text,text,bigint,bigint) from public;
comment on function make_partition(text,text,text,bigint,bigint) is 'Makes one partition and moves into it what the default partition caught of its range; false if it is there. Called by ensure_partitions().';

CREATE OR REPLACE FUNCTION public.member_ids(_channel_id bigint, _after bigint, _limit integer)
 RETURNS bigint[]
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
  if not exists (
    select 1
    from channels c
    where c.id = _channel_id
      and c.tenant_id = app_tenant_id()
      and c.deleted_at is null
  ) then
    return null;
  end if;
  -- A service that acts for a user has that user's rights.
  if not app_is_member(_channel_id) and not (app_is_service() and app_user_id() = 0) then
    return null;
  end if;
  return array(
    select m.user_id
    from channel_members m
    where m.channel_id = _channel_id
      and m.tenant_id = app_tenant_id()
      and m.status in ('ACTIVE', 'MUTED')
      and m.user_id > _after
    order by m.user_id
    limit _limit
  );
end
$function$;
alter function member_ids(bigint,bigint,integer) owner to discuss_system;
revoke all on function member_ids(bigint,bigint,integer) from public;
grant execute on function member_ids(bigint,bigint,integer) to discuss_service;
comment on function member_ids(bigint,bigint,integer) is 'The next members of a channel by user id, for members and services; null for others. The policy of channel_members would ask for each row whether it may be seen.';

CREATE OR REPLACE FUNCTION public.member_truth(_ids bigint[])
 RETURNS TABLE(channel_id bigint, id bigint, read_post_seq bigint, marker bigint, own_posts bigint, own bigint, own_posts_read bigint, own_read bigint, unread_count integer, unread integer)
 LANGUAGE sql
 STABLE
 SET search_path TO 'public', 'pg_temp'
BEGIN ATOMIC
 WITH posted AS MATERIALIZED (
          SELECT x.channel_id,
             array_agg(x.id ORDER BY x.id) AS ids,
             array_agg(x.post_seq ORDER BY x.id) AS posts
            FROM messages x
           WHERE (x.channel_id = ANY (member_truth._ids))
           GROUP BY x.channel_id
         ), own AS MATERIALIZED (
          SELECT o.channel_id,
             o.sender_id,
             array_agg(o.post_seq ORDER BY o.post_seq) AS posts
            FROM ( SELECT x.channel_id,
                     x.sender_id,
                     x.post_seq
                    FROM messages x
                   WHERE ((x.channel_id = ANY (member_truth._ids)) AND (NOT x.is_deleted) AND (x.notice IS NULL))
                 UNION ALL
                  SELECT d.channel_id,
                     d.sender_id,
                     d.post_seq
                    FROM deleted_posts d
                   WHERE (d.channel_id = ANY (member_truth._ids))) o
           GROUP BY o.channel_id, o.sender_id
         )
  SELECT t.channel_id,
     t.id,
     t.read_post_seq,
     t.marker,
     t.own_posts,
     t.own,
     t.own_posts_read,
     t.own_read,
     t.unread_count,
         CASE
             WHEN t.is_settled THEN derived_unread(t.channel_id, t.user_id, LEAST(t.post_seq, (t.marker + 2147483647)), t.marker, t.own, t.own_read)
             ELSE t.unread_count
         END AS unread_count
    FROM ( SELECT m.channel_id,
             m.id,
             m.user_id,
             m.read_post_seq,
             k.marker,
             m.own_posts,
             m.own_posts_read,
             m.unread_count,
             c.post_seq,
             (COALESCE(cardinality(o.posts), 0))::bigint AS own,
             (COALESCE(width_bucket(k.marker, o.posts), 0))::bigint AS own_read,
             (((m.status)::text = ANY ((ARRAY['ACTIVE'::character varying, 'MUTED'::character varying])::text[])) AND (c.unread_version = c.settled_version)) AS is_settled
            FROM (((((channel_members m
              JOIN channels c ON ((c.id = m.channel_id)))
              LEFT JOIN own o ON (((o.channel_id = m.channel_id) AND (o.sender_id = m.user_id))))
              LEFT JOIN posted p ON ((p.channel_id = m.channel_id)))
              CROSS JOIN LATERAL ( SELECT COALESCE(width_bucket(m.last_read_msg_id, p.ids), 0) AS place) l)
              CROSS JOIN LATERAL ( SELECT LEAST(GREATEST(m.read_post_seq, p.posts[l.place]), COALESCE((p.posts[(l.place + 1)] - 1), c.post_seq)) AS marker) k)
           WHERE (m.channel_id = ANY (member_truth._ids))) t;
END;
alter function member_truth(bigint[]) owner to discuss_system;
revoke all on function member_truth(bigint[]) from public;
comment on function member_truth(bigint[]) is 'Numbers of memberships as stored, each followed by what it should be, counted by hand.';

CREATE OR REPLACE FUNCTION public.members_of(_channel_ids bigint[])
 RETURNS TABLE(channel_id bigint, user_ids bigint[])
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
  return query
  select m.channel_id, array_agg(m.user_id)
  from channel_members me
  join channel_members m
    on m.channel_id = me.channel_id
    and m.tenant_id = me.tenant_id
    and m.status in ('ACTIVE', 'MUTED')
  where me.channel_id = any(_channel_ids)
    and me.user_id = app_user_id()
    and me.tenant_id = app_tenant_id()
    and me.status in ('ACTIVE', 'MUTED')
  group by m.channel_id;
end
$function$;
alter function members_of(bigint[]) owner to discuss_system;
revoke all on function members_of(bigint[]) from public;
grant execute on function members_of(bigint[]) to discuss_service;
comment on function members_of(bigint[]) is 'Members of those of the channels that the caller is in. For channels of few members: all of them are returned.';

CREATE OR REPLACE FUNCTION public.mend_channels(_ids bigint[])
 RETURNS TABLE(kind text, mended bigint)
 LANGUAGE sql
 SET search_path TO 'public', 'pg_temp'
BEGIN ATOMIC
 WITH truth AS MATERIALIZED (
          SELECT channel_truth.channel_id,
             channel_truth.member_count,
             channel_truth.members,
             channel_truth.message_count,
             channel_truth.messages,
             channel_truth.last_message_at,
             channel_truth.last_at,
             channel_truth.last_message_id,
             channel_truth.last_id,
             channel_truth.post_seq,
             channel_truth.last_post,
             channel_truth.event_seq,
             channel_truth.last_event
            FROM channel_truth(mend_channels._ids) channel_truth(channel_id, member_count, members, message_count, messages, last_message_at, last_at, last_message_id, last_id, post_seq, last_post, event_seq, last_event)
         ), updated AS (
          UPDATE channels c SET member_count = t_1.members, message_count = t_1.messages, last_message_at = t_1.last_at, last_message_id = t_1.last_id, post_seq = t_1.last_post, event_seq = t_1.last_event, unread_version = (c.unread_version +
                 CASE
                     WHEN (c.post_seq = t_1.last_post) THEN 0
                     ELSE 1
                 END)
            FROM truth t_1
           WHERE ((c.id = t_1.channel_id) AND ((((((t_1.member_count IS DISTINCT FROM t_1.members) OR (t_1.message_count IS DISTINCT FROM t_1.messages)) OR (t_1.last_message_at IS DISTINCT FROM t_1.last_at)) OR (t_1.last_message_id IS DISTINCT FROM t_1.last_id)) OR (t_1.post_seq IS DISTINCT FROM t_1.last_post)) OR (t_1.event_seq IS DISTINCT FROM t_1.last_event)))
         )
  SELECT v.kind,
     count(*) FILTER (WHERE v.is_wrong) AS count
    FROM (truth t
      CROSS JOIN LATERAL ( VALUES ('channels.member_count'::text,(t.member_count <> t.members)), ('channels.message_count'::text,(t.message_count <> t.messages)), ('channels.last_message_at'::text,(t.last_message_at IS DISTINCT FROM t.last_at)), ('channels.last_message_id'::text,(t.last_message_id IS DISTINCT FROM t.last_id)), ('channels.post_seq'::text,(t.post_seq <> t.last_post)), ('channels.event_seq'::text,(t.event_seq <> t.last_event))) v(kind, is_wrong))
   GROUP BY v.kind;
END;
alter function mend_channels(bigint[]) owner to discuss_system;
revoke all on function mend_channels(bigint[]) from public;
comment on function mend_channels(bigint[]) is 'Mends the numbers of locked channels, and how many of each kind.';

CREATE OR REPLACE FUNCTION public.mend_deleted_posts(_ids bigint[])
 RETURNS TABLE(kind text, mended bigint)
 LANGUAGE sql
 SET search_path TO 'public', 'pg_temp'
BEGIN ATOMIC
 WITH truth AS MATERIALIZED (
          SELECT t_1.channel_id,
             t_1.post_seq,
             t_1.tenant_id,
             t_1.sender_id,
             t_1.is_noted,
             t_1.is_due
            FROM deleted_post_truth(mend_deleted_posts._ids) t_1(channel_id, post_seq, tenant_id, sender_id, is_noted, is_due)
           WHERE (t_1.is_noted <> t_1.is_due)
         ), added AS (
          INSERT INTO deleted_posts (channel_id, post_seq, tenant_id, sender_id)  SELECT t_1.channel_id,
                     t_1.post_seq,
                     t_1.tenant_id,
                     t_1.sender_id
                    FROM truth t_1
                   WHERE t_1.is_due ON CONFLICT DO NOTHING
         ), removed AS (
          DELETE FROM deleted_posts d
            USING truth t_1
           WHERE ((NOT t_1.is_due) AND (d.channel_id = t_1.channel_id) AND (d.post_seq = t_1.post_seq))
         ), unsettled AS (
          UPDATE channels c SET unread_version = (c.unread_version + 1)
           WHERE (c.id IN ( SELECT t_1.channel_id
                    FROM truth t_1))
         )
  SELECT 'deleted_posts'::text,
     count(*) AS count
    FROM truth t;
END;
alter function mend_deleted_posts(bigint[]) owner to discuss_system;
revoke all on function mend_deleted_posts(bigint[]) from public;
comment on function mend_deleted_posts(bigint[]) is 'Mends which numbers of locked channels count for nobody, and how many.';

CREATE OR REPLACE FUNCTION public.mend_followers(_ids bigint[])
 RETURNS TABLE(kind text, mended bigint)
 LANGUAGE sql
 SET search_path TO 'public', 'pg_temp'
BEGIN ATOMIC
 WITH truth AS MATERIALIZED (
          SELECT follower_truth.channel_id,
             follower_truth.tenant_id,
             follower_truth.root_id,
             follower_truth.user_id,
             follower_truth.replies,
             follower_truth.counted,
             follower_truth.first_reply_id,
             follower_truth.first_id
            FROM follower_truth(mend_followers._ids) follower_truth(channel_id, tenant_id, root_id, user_id, replies, counted, first_reply_id, first_id)
         ), updated AS (
          UPDATE thread_followers f SET replies = t_1.counted, first_reply_id = t_1.first_id
            FROM truth t_1
           WHERE ((f.tenant_id = t_1.tenant_id) AND (f.root_id = t_1.root_id) AND (f.user_id = t_1.user_id) AND ((t_1.replies IS DISTINCT FROM t_1.counted) OR (t_1.first_reply_id IS DISTINCT FROM t_1.first_id)))
         )
  SELECT v.kind,
     count(*) FILTER (WHERE v.is_wrong) AS count
    FROM (truth t
      CROSS JOIN LATERAL ( VALUES ('thread_followers.replies'::text,(t.replies <> t.counted)), ('thread_followers.first_reply_id'::text,(t.first_reply_id IS DISTINCT FROM t.first_id))) v(kind, is_wrong))
   GROUP BY v.kind;
END;
alter function mend_followers(bigint[]) owner to discuss_system;
revoke all on function mend_followers(bigint[]) from public;
comment on function mend_followers(bigint[]) is 'Mends the replies of those who follow threads of locked channels, and how many of each kind.';

CREATE OR REPLACE FUNCTION public.mend_members(_ids bigint[])
 RETURNS TABLE(kind text, mended bigint)
 LANGUAGE sql
 SET search_path TO 'public', 'pg_temp'
BEGIN ATOMIC
 WITH truth AS MATERIALIZED (
          SELECT member_truth.channel_id,
             member_truth.id,
             member_truth.read_post_seq,
             member_truth.marker,
             member_truth.own_posts,
             member_truth.own,
             member_truth.own_posts_read,
             member_truth.own_read,
             member_truth.unread_count,
             member_truth.unread
            FROM member_truth(mend_members._ids) member_truth(channel_id, id, read_post_seq, marker, own_posts, own, own_posts_read, own_read, unread_count, unread)
         ), updated AS (
          UPDATE channel_members m SET read_post_seq = t_1.marker, own_posts = t_1.own, own_posts_read = t_1.own_read
            FROM truth t_1
           WHERE ((m.id = t_1.id) AND ((t_1.read_post_seq <> t_1.marker) OR (t_1.own_posts <> t_1.own) OR (t_1.own_posts_read <> t_1.own_read) OR (t_1.unread_count <> t_1.unread)))
           RETURNING m.channel_id
         ), told AS (
          UPDATE channels c SET unread_version = (c.unread_version + 1)
           WHERE (c.id IN ( SELECT u.channel_id
                    FROM updated u))
         )
  SELECT v.kind,
     count(*) FILTER (WHERE v.is_wrong) AS count
    FROM (truth t
      CROSS JOIN LATERAL ( VALUES ('channel_members.read_post_seq'::text,(t.read_post_seq <> t.marker)), ('channel_members.own_posts'::text,(t.own_posts <> t.own)), ('channel_members.own_posts_read'::text,(t.own_posts_read <> t.own_read)), ('channel_members.unread_count'::text,(t.unread_count <> t.unread))) v(kind, is_wrong))
   GROUP BY v.kind;
END;
alter function mend_members(bigint[]) owner to discuss_system;
revoke all on function mend_members(bigint[]) from public;
comment on function mend_members(bigint[]) is 'Mends the numbers of locked memberships, and how many of each kind.';

CREATE OR REPLACE FUNCTION public.mend_threads(_ids bigint[])
 RETURNS TABLE(kind text, mended bigint)
 LANGUAGE sql
 SET search_path TO 'public', 'pg_temp'
BEGIN ATOMIC
 WITH truth AS MATERIALIZED (
          SELECT thread_truth.channel_id,
             thread_truth.id,
             thread_truth.thread_count,
             thread_truth.replies,
             thread_truth.thread_user_count,
             thread_truth.users,
             thread_truth.thread_users,
             thread_truth.first_users,
             thread_truth.last_reply_at,
             thread_truth.last_at
            FROM thread_truth(mend_threads._ids) thread_truth(channel_id, id, thread_count, replies, thread_user_count, users, thread_users, first_users, last_reply_at, last_at)
         ), updated AS (
          UPDATE messages m SET thread_count = t_1.replies, thread_user_count = t_1.users, thread_users = t_1.first_users, last_reply_at = t_1.last_at
            FROM truth t_1
           WHERE ((m.id = t_1.id) AND ((((t_1.thread_count IS DISTINCT FROM t_1.replies) OR (t_1.thread_user_count IS DISTINCT FROM t_1.users)) OR (t_1.thread_users IS DISTINCT FROM t_1.first_users)) OR (t_1.last_reply_at IS DISTINCT FROM t_1.last_at)))
         )
  SELECT v.kind,
     count(*) FILTER (WHERE v.is_wrong) AS count
    FROM (truth t
      CROSS JOIN LATERAL ( VALUES ('messages.thread_count'::text,(t.thread_count <> t.replies)), ('messages.thread_user_count'::text,(t.thread_user_count <> t.users)), ('messages.thread_users'::text,(t.thread_users <> t.first_users)), ('messages.last_reply_at'::text,(t.last_reply_at IS DISTINCT FROM t.last_at))) v(kind, is_wrong))
   GROUP BY v.kind;
END;
alter function mend_threads(bigint[]) owner to discuss_system;
revoke all on function mend_threads(bigint[]) from public;
comment on function mend_threads(bigint[]) is 'Mends what messages of locked channels show of their threads, and how many of each kind.';

CREATE OR REPLACE FUNCTION public.misplaced_keys(p_default text, p_key text, p_span bigint)
 RETURNS SETOF bigint
 LANGUAGE plpgsql
AS $function$
declare
  _key bigint;
  _from bigint := 0;
begin
  -- Jumps from range to range by the index; twelve ranges are enough for one call.
  for _i in 1..12 loop
    execute format('select min(%I) from %I where %I >= $1', p_key, p_default, p_key) into _key using _from;
    exit when _key is null;
    return next _key;
    _from := (_key / p_span + 1) * p_span;
  end loop;
end
$function$;
revoke all on function misplaced_keys(text,text,bigint) from public;
comment on function misplaced_keys(text,text,bigint) is 'One key out of each range, p_span wide, of which the default partition holds rows.';

CREATE OR REPLACE FUNCTION public.now_ms()
 RETURNS bigint
 LANGUAGE sql
 PARALLEL SAFE
RETURN (floor((EXTRACT(epoch FROM clock_timestamp()) * (1000)::numeric)))::bigint;
comment on function now_ms() is 'The database clock in epoch milliseconds, the unit of every time column.';

CREATE OR REPLACE FUNCTION public.page_of_channels(_tenant_id bigint, _after bigint, _limit integer, _budget bigint)
 RETURNS bigint[]
 LANGUAGE sql
 STABLE
 SET search_path TO 'public', 'pg_temp'
BEGIN ATOMIC
 SELECT array_agg(p.id ORDER BY p.id) FILTER (WHERE ((p.place = 1) OR (p.work <= (page_of_channels._budget)::numeric))) AS array_agg
    FROM ( SELECT c.id,
             row_number() OVER (ORDER BY c.id) AS place,
             sum((c.post_seq + c.member_count)) OVER (ORDER BY c.id) AS work
            FROM channels c
           WHERE (((page_of_channels._tenant_id = 0) OR (c.tenant_id = page_of_channels._tenant_id)) AND (c.id > page_of_channels._after) AND (c.deleted_at IS NULL))
           ORDER BY c.id
          LIMIT page_of_channels._limit) p;
END;
alter function page_of_channels(bigint,bigint,integer,bigint) owner to discuss_system;
revoke all on function page_of_channels(bigint,bigint,integer,bigint) from public;
comment on function page_of_channels(bigint,bigint,integer,bigint) is 'The next channels of a tenant, or (0) of all, with at most so many messages and members together, and one at least; null when there are none.';

CREATE OR REPLACE FUNCTION public.partition_columns(p_table regclass)
 RETURNS text
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT string_agg(quote_ident((a.attname)::text), ', '::text ORDER BY a.attnum) AS string_agg
    FROM pg_attribute a
   WHERE ((a.attrelid = (partition_columns.p_table)::oid) AND (a.attnum > 0) AND (NOT a.attisdropped) AND (a.attgenerated = ''::"char"));
END;
revoke all on function partition_columns(regclass) from public;
comment on function partition_columns(regclass) is 'Names of the columns a row can be copied by: all but the generated ones.';

CREATE OR REPLACE FUNCTION public.pb_time(_ms bigint)
 RETURNS bytea
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE STRICT
RETURN ((('\x1a0c08'::bytea || pb_varint5((_ms / 1000))) || '\x10'::bytea) || pb_varint5(((_ms % (1000)::bigint) * 1000000)));
comment on function pb_time(bigint) is 'Epoch ms as protobuf field 3 of type google.protobuf.Timestamp, 14 bytes: tag, length, seconds, nanos.';

CREATE OR REPLACE FUNCTION public.pb_varint5(_value bigint)
 RETURNS bytea
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE STRICT
RETURN set_byte(set_byte(set_byte(set_byte(set_byte('\x0000000000'::bytea, 0, (((_value & (127)::bigint) | (128)::bigint))::integer), 1, ((((_value >> 7) & (127)::bigint) | (128)::bigint))::integer), 2, ((((_value >> 14) & (127)::bigint) | (128)::bigint))::integer), 3, ((((_value >> 21) & (127)::bigint) | (128)::bigint))::integer), 4, (((_value >> 28) & (127)::bigint))::integer);
comment on function pb_varint5(bigint) is 'A number below 2^35 as a protobuf varint padded to five bytes, which every decoder accepts.';

CREATE OR REPLACE FUNCTION public.pb_varint9(_value bigint)
 RETURNS bytea
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE STRICT
RETURN set_byte(set_byte(set_byte(set_byte(set_byte(set_byte(set_byte(set_byte(set_byte('\x000000000000000000'::bytea, 0, (((_value & (127)::bigint) | (128)::bigint))::integer), 1, ((((_value >> 7) & (127)::bigint) | (128)::bigint))::integer), 2, ((((_value >> 14) & (127)::bigint) | (128)::bigint))::integer), 3, ((((_value >> 21) & (127)::bigint) | (128)::bigint))::integer), 4, ((((_value >> 28) & (127)::bigint) | (128)::bigint))::integer), 5, ((((_value >> 35) & (127)::bigint) | (128)::bigint))::integer), 6, ((((_value >> 42) & (127)::bigint) | (128)::bigint))::integer), 7, ((((_value >> 49) & (127)::bigint) | (128)::bigint))::integer), 8, (((_value >> 56) & (127)::bigint))::integer);
comment on function pb_varint9(bigint) is 'A number of 0 or more as a protobuf varint padded to nine bytes, which every decoder accepts.';

CREATE OR REPLACE FUNCTION public.poll_results(_channel_id bigint, _message_id bigint)
 RETURNS text
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
  if not (app_is_service() or app_is_member(_channel_id)) then
    return null;
  end if;
  return (
    select
      json_build_object(
        'voters', (
          select count(distinct v.user_id)
          from poll_votes v
          where v.tenant_id = app_tenant_id() and v.message_id = _message_id and v.channel_id = _channel_id
        ),
        'options', json_agg(json_build_object('id', o.option_id, 'count', o.votes, 'users', o.users))
      )::text
    from (
      select
        v.option_id,
        count(*) as votes,
        (array_agg(v.user_id order by v.created_at, v.user_id))[:100] as users
      from poll_votes v
      where v.tenant_id = app_tenant_id() and v.message_id = _message_id and v.channel_id = _channel_id
      group by v.option_id
    ) as o
  );
end
$function$;
alter function poll_results(bigint,bigint) owner to discuss_system;
revoke all on function poll_results(bigint,bigint) from public;
grant execute on function poll_results(bigint,bigint) to discuss_service;
comment on function poll_results(bigint,bigint) is 'Votes on a poll as JSON: how many voters, and for each option chosen how many and the first 100 of them. null for who is not in the channel.';

CREATE OR REPLACE FUNCTION public.post_messages(_items json)
 RETURNS TABLE(item integer, refusal text, message_id bigint, "position" bigint, created_at bigint, seq bigint, payload bytea)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
 SET enable_seqscan TO 'off'
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
AS $function$
#variable_conflict use_column
declare
  -- Refusals of replies, by item. Not part of the statement below, as most batches hold none and it would look into
  -- every partition of messages.
  _parents jsonb := '{}';
begin
  -- Statements after this one see everything that was committed while it waited.
  perform 1
  from channels c
  where c.id in (select distinct (i ->> 'channelId')::bigint from json_array_elements(_items) as i)
  order by c.id
  for no key update;

  if exists (select 1 from json_array_elements(_items) as i where i ->> 'parentId' is not null) then
    select coalesce(jsonb_object_agg(r.item, case when p.id is null then 'MESSAGE_NOT_FOUND' else 'MESSAGE_DELETED' end), '{}')
    into _parents
    from json_to_recordset(_items) as r(item int, "channelId" bigint, "parentId" bigint)
    left join messages p on p.id = r."parentId" and p.channel_id = r."channelId"
    where r."parentId" is not null
      and p.is_deleted is not false;
  end if;

  return query
  with checked as materialized (
    select
      r.*,
      case
        when c.id is null or (m.id is null and r."isManager" is not true) then 'CHANNEL_NOT_FOUND'
        when m.status = 'MUTED' then 'MEMBER_MUTED'
        when c.is_archived then 'CHANNEL_ARCHIVED'
        else _parents ->> r.item::text
      end as refusal,
      c.event_seq,
      c.post_seq,
      c.last_message_at
    from json_to_recordset(_items) as r(
      item int, "tenantId" bigint, "userId" bigint, "isManager" boolean, "channelId" bigint,
      "requestId" uuid, "payloadHash" text,
      type text, content text, mentions bigint[], "mentionScope" text,
      "parentId" bigint, "alsoInChannel" boolean, metadata jsonb,
      payload text, "seqAt" int, "messageAt" int
    )
    -- Lateral and limited, so that whatever the tables' statistics say each is looked up by its key.
    left join lateral (
      select k.id, k.is_archived, k.event_seq, k.post_seq, k.last_message_at
      from channels k
      where k.id = r."channelId" and k.tenant_id = r."tenantId" and k.deleted_at is null
      limit 1
    ) as c on true
    left join lateral (
      select k.id, k.status
      from channel_members k
      where k.channel_id = c.id and k.user_id = r."userId" and k.status in ('ACTIVE', 'MUTED')
      limit 1
    ) as m on true
  ),
  -- Ids after the lock and in order, so that in a channel id order, seq order and commit order are one.
  numbered as materialized (
    select o.*, nextval('messages_id_seq') as id
    from (select * from checked where refusal is null order by "channelId", item) as o
  ),
  claimed as (
    insert into idempotency_keys
      (tenant_id, user_id, request_id, method, payload_hash, channel_id, resource_id, created_at)
    select distinct on ("tenantId", "userId", "requestId")
      "tenantId", "userId", "requestId", 'SendMessage', decode("payloadHash", 'base64'), "channelId", id, now_ms()
    from numbered
    where "requestId" is not null
    order by "tenantId", "userId", "requestId", id
    on conflict do nothing
    returning resource_id
  ),
  placed as materialized (
    select
      n.*,
      n.event_seq + row_number() over channel as seq,
      n.post_seq + row_number() over channel as place,
      greatest(n.last_message_at, now_ms()) as now
    from numbered n
    where n."requestId" is null or n.id in (select resource_id from claimed)
    window channel as (partition by n."channelId" order by n.id)
  ),
  stamped as materialized (
    select
      p.item, p.id, p.place, p.now, p.seq, p."channelId", p."tenantId", p."userId",
      stamp_event(
        stamp_message(decode(p.payload, 'base64'), p."messageAt", p.id, p.place, p.now), p."seqAt", p.seq, p.now
      ) as event
    from placed p
  ),
  advanced as (
    update channels c
    set
      event_seq = a.seq,
      post_seq = a.place,
      last_message_id = a.id,
      message_count = c.message_count + a.posts,
      last_message_at = a.now,
      updated_at = greatest(c.updated_at, a.now),
      unread_version = c.unread_version + 1
    from (
      select "channelId", count(*)::int as posts, max(seq) as seq, max(place) as place, max(id) as id, max(now) as now
      from placed
      group by 1
    ) as a
    where c.id = a."channelId"
  ),
  inserted as (
    insert into messages
      (id, channel_id, sender_id, tenant_id, content, message_type, mentions, mention_scope, parent_id,
       also_in_channel, metadata, post_seq, event_seq, posted_seq, created_at, updated_at)
    select
      id, "channelId", "userId", "tenantId", content, type, mentions, "mentionScope", "parentId",
      coalesce("alsoInChannel", false), metadata, place, seq, seq, now, now
    from placed
    order by id
  ),
  logged as (
    insert into channel_events
      (channel_id, seq, tenant_id, kind, message_id, actor_id, created_at, payload)
    select "channelId", seq, "tenantId", 'MESSAGE_CREATED', id, "userId", now, event
    from stamped
    order by "channelId", seq
  ),
  counted as (
    update channel_members m
    set own_posts = m.own_posts + s.posts
    from (select "channelId", "userId", count(*) as posts from placed group by 1, 2) as s
    where m.channel_id = s."channelId" and m.user_id = s."userId"
  )
  select s.item, null::text, s.id, s.place, s.now, s.seq, s.event
  from stamped s
  union all
  select c.item, coalesce(c.refusal, 'REPEATED'), null, null, null, null, null
  from checked c
  where c.item not in (select s.item from stamped s);
end
$function$;
alter function post_messages(json) owner to discuss_system;
revoke all on function post_messages(json) from public;
comment on function post_messages(json) is 'Posts a batch of messages of any callers and tenants; only send_messages() calls it. Each item is checked by itself: tenant, membership (isManager, a service that acts for nobody, needs none), archive, parent. refusal is null for a posted one, REPEATED when its request id is taken, else the reason. One refused item does not touch the others.';

CREATE OR REPLACE FUNCTION public.post_notice(_channel_id bigint, _notice jsonb, _actor_id bigint, _payload bytea, _seq_at integer, _message_at integer)
 RETURNS TABLE(channel_id bigint, seq bigint, payload bytea)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
$function$;
alter function post_notice(bigint,jsonb,bigint,bytea,integer,integer) owner to discuss_system;
revoke all on function post_notice(bigint,jsonb,bigint,bytea,integer,integer) from public;
grant execute on function post_notice(bigint,jsonb,bigint,bytea,integer,integer) to discuss_service;
comment on function post_notice(bigint,jsonb,bigint,bytea,integer,integer) is 'Posts what the service itself reports in a channel of the caller''s tenant, archived or not, and returns its event as logged. Keeps the channel''s row locked until commit. Whether it is true is for the caller to know, as with append_event().';

CREATE OR REPLACE FUNCTION public.presence_audiences(_tenant_ids bigint[], _user_ids bigint[], _max_members integer, _max_channels integer)
 RETURNS TABLE(tenant_id bigint, user_id bigint, channel_ids bigint[], status_text text, expires_at bigint)
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
        and m.status in ('ACTIVE', 'MUTED')
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
$function$;
alter function presence_audiences(bigint[],bigint[],integer,integer) owner to discuss_system;
revoke all on function presence_audiences(bigint[],bigint[],integer,integer) from public;
grant execute on function presence_audiences(bigint[],bigint[],integer,integer) to discuss_service;
comment on function presence_audiences(bigint[],bigint[],integer,integer) is 'Who is told of these users'' presence: their channels of at most _max_members members, and all direct ones, at most _max_channels of each user; and the texts they chose. Of several tenants, for one round of news.';

CREATE OR REPLACE FUNCTION public.prune_idempotency_keys(p_before_ms bigint, p_limit integer)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
  _pruned int;
begin
  with old_keys as materialized (
    select k.tenant_id, k.user_id, k.request_id
    from idempotency_keys k
    where k.created_at < p_before_ms
    order by k.created_at
    limit p_limit
    for update skip locked
  )
  delete from idempotency_keys k
  using old_keys o
  where k.tenant_id = o.tenant_id
    and k.user_id = o.user_id
    and k.request_id = o.request_id;
  get diagnostics _pruned = row_count;
  return _pruned;
end
$function$;
alter function prune_idempotency_keys(bigint,integer) owner to discuss_system;
revoke all on function prune_idempotency_keys(bigint,integer) from public;
grant execute on function prune_idempotency_keys(bigint,integer) to discuss_service;
comment on function prune_idempotency_keys(bigint,integer) is 'Removes up to p_limit keys made before p_before_ms and returns how many; call it until it returns less than p_limit.';

CREATE OR REPLACE FUNCTION public.purge_activities(_before bigint, _limit integer)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
 SET lock_timeout TO '250ms'
AS $function$
declare
  _name text;
  _rows int;
  _purged int;
begin
  delete from activity_feed a
  where (a.id, a."timestamp") in (
    select d.id, d."timestamp" from activity_feed d where d."timestamp" < _before limit _limit
  );
  get diagnostics _purged = row_count;
  if _purged > 0 then
    return _purged;
  end if;

  -- Months that are over for good, empty by now.
  for _name in
    select c.relname
    from pg_inherits i
    join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'activity_feed'::regclass
      and c.relname ~ '^activity_feed_[0-9]{4}_[0-9]{2}$'
      and to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month'
        <= (to_timestamp(_before / 1000) at time zone 'UTC')
    order by c.relname
  loop
    begin
      execute format('select count(*) from (select 1 from %I limit 1) as x', _name) into _rows;
      if _rows = 0 then
        execute format('drop table %I', _name);
      end if;
    exception
      when lock_not_available or deadlock_detected then
        raise warning 'dropping % is put off: %', _name, sqlerrm;
        exit;
    end;
  end loop;
  return 0;
end
$function$;
revoke all on function purge_activities(bigint,integer) from public;
grant execute on function purge_activities(bigint,integer) to discuss_service;
comment on function purge_activities(bigint,integer) is 'Removes up to _limit activities from before _before, epoch ms, and returns how many; when there are none, drops the months that are over.';

CREATE OR REPLACE FUNCTION public.purge_deleted_channels(_before bigint, _limit integer)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
  _channel_id bigint;
  _purged int;
begin
  select c.id
  into _channel_id
  from channels c
  where c.deleted_at < _before
  order by c.deleted_at
  limit 1
  for update skip locked;
  if not found then
    return 0;
  end if;

  -- The newest first, so that replies go before what they reply to.
  delete from messages m
  where m.id in (
    select d.id from messages d where d.channel_id = _channel_id order by d.id desc limit _limit
  );
  get diagnostics _purged = row_count;
  if _purged < _limit then
    delete from channels c where c.id = _channel_id;
    _purged := _purged + 1;
  end if;
  return _purged;
end
$function$;
alter function purge_deleted_channels(bigint,integer) owner to discuss_system;
revoke all on function purge_deleted_channels(bigint,integer) from public;
grant execute on function purge_deleted_channels(bigint,integer) to discuss_service;
comment on function purge_deleted_channels(bigint,integer) is 'Removes up to _limit messages for good of a channel that was deleted before _before, epoch ms, and the channel with the last of them. Returns how many rows went; 0 when there is no such channel.';

CREATE OR REPLACE FUNCTION public.purge_deleted_messages(_before bigint, _limit integer)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
  _ids bigint[];
  _purged int;
begin
  -- Not the first message of a thread that still holds replies: without it they would be messages of the channel.
  select array_agg(d.id)
  into _ids
  from (
    select m.id
    from messages m
    where m.is_deleted
      and m.deleted_at < _before
      and not exists (select 1 from messages r where r.parent_id = m.id)
    order by m.deleted_at
    limit _limit
  ) as d;

  perform 1
  from channels c
  where c.id in (select m.channel_id from messages m where m.id = any(_ids))
  order by c.id
  for no key update;

  delete from messages m
  where m.id = any(_ids)
    and m.is_deleted
    and not exists (select 1 from messages r where r.parent_id = m.id);
  get diagnostics _purged = row_count;
  return _purged;
end
$function$;
alter function purge_deleted_messages(bigint,integer) owner to discuss_system;
revoke all on function purge_deleted_messages(bigint,integer) from public;
grant execute on function purge_deleted_messages(bigint,integer) to discuss_service;
comment on function purge_deleted_messages(bigint,integer) is 'Removes up to _limit messages for good that were deleted before _before, epoch ms, with all that belongs to them, and returns how many. The first message of a thread stays as long as one of its replies.';

CREATE OR REPLACE FUNCTION public.put_aside_references(p_from bigint, p_to bigint)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
begin
  lock table attachments, activity_feed in share row exclusive mode;

  create temporary table put_aside_attachments on commit drop as
  select a.*
  from attachments a
  join messages_default m on m.id = a.message_id
  where m.id >= p_from and m.id < p_to;

  create temporary table put_aside_activities on commit drop as
  select a.*
  from activity_feed a
  join messages_default m on m.id = a.message_id
  where m.id >= p_from and m.id < p_to;

  create temporary table put_aside_replies on commit drop as
  select r.id, r.parent_id
  from messages r
  where r.parent_id >= p_from and r.parent_id < p_to;
end
$function$;
revoke all on function put_aside_references(bigint,bigint) from public;
comment on function put_aside_references(bigint,bigint) is 'Copies what refers to the messages of a range, before these leave the default partition.';

CREATE OR REPLACE FUNCTION public.put_back_references()
 RETURNS void
 LANGUAGE plpgsql
AS $function$
declare
  _columns text;
begin
  _columns := partition_columns('attachments');
  execute format('insert into attachments (%s) select %s from pg_temp.put_aside_attachments', _columns, _columns);
  _columns := partition_columns('activity_feed');
  execute format('insert into activity_feed (%s) select %s from pg_temp.put_aside_activities', _columns, _columns);

  update messages m
  set parent_id = r.parent_id
  from pg_temp.put_aside_replies r
  where m.id = r.id
    and m.parent_id is distinct from r.parent_id;

  drop table pg_temp.put_aside_attachments, pg_temp.put_aside_activities, pg_temp.put_aside_replies;
end
$function$;
revoke all on function put_back_references() from public;
comment on function put_back_references() is 'Restores what put_aside_references() copied, once the messages are in their partition.';

CREATE OR REPLACE FUNCTION public.read_event_feed(_epoch bigint, _xid bigint, _id bigint, _tenants bigint[], _kinds text[], _limit integer, _bytes integer)
 RETURNS TABLE(tenant_id bigint, xid bigint, id bigint, payload bytea, epoch bigint, lost text, held_ms bigint)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET enable_sort TO 'off'
AS $function$
#variable_conflict use_column
declare
  -- Transactions below it have ended: no event can appear among theirs any more.
  _horizon constant xid8 := pg_snapshot_xmin(pg_current_snapshot());
  _after constant xid8 := _xid::text::xid8;
  -- Whoever wants little of the log reads past the rest in steps that end.
  _scan constant int := 10 * _limit;
  _scanned int := 0;
  _full boolean := false;
  _event record;
  _feed event_feed;
begin
  if _after is not null then
    for _event in
      select e.tenant_id, e.kind, e.xid, e.id, e.payload
      from channel_events e
      where (e.xid, e.id) > (_after, _id)
        and e.xid < _horizon
      order by e.xid, e.id
      limit _scan
    loop
      _scanned := _scanned + 1;
      xid := _event.xid::text::bigint;
      id := _event.id;
      if (_tenants is null or _event.tenant_id = any(_tenants)) and (_kinds is null or _event.kind = any(_kinds)) then
        tenant_id := _event.tenant_id;
        payload := _event.payload;
        return next;
        _limit := _limit - 1;
        _bytes := _bytes - octet_length(payload);
        _full := _limit <= 0 or _bytes <= 0;
      end if;
      exit when _full;
    end loop;
  end if;

  -- After the events: where days were dropped meanwhile, this sees it.
  select f.* into strict _feed from event_feed f;
  tenant_id := null;
  payload := null;
  epoch := _feed.epoch;
  if _epoch != _feed.epoch or _after > _horizon then
    lost := 'UNKNOWN';
  elsif (_after, _id) < (_feed.floor_xid, _feed.floor_id) then
    lost := 'EXPIRED';
  end if;
  if lost is not null then
    xid := _feed.floor_xid::text::bigint;
    id := _feed.floor_id;
  elsif not _full and _scanned < _scan then
    xid := _horizon::text::bigint;
    id := 0;
    held_ms := (
      select greatest(now_ms() - e.created_at, 0)
      from channel_events e
      where e.xid >= _horizon
      order by e.xid, e.id
      limit 1
    );
  end if;
  return next;
end
$function$;
alter function read_event_feed(bigint,bigint,bigint,bigint[],text[],integer,integer) owner to discuss_system;
revoke all on function read_event_feed(bigint,bigint,bigint,bigint[],text[],integer,integer) from public;
grant execute on function read_event_feed(bigint,bigint,bigint,bigint[],text[],integer,integer) to discuss_service;
comment on function read_event_feed(bigint,bigint,bigint,bigint[],text[],integer,integer) is 'Events of all channels after (_xid, _id), in the order (xid, id) and up to where every transaction has ended: those of some tenants and kinds, or of all where null is given; at most _limit of them, or somewhat over _bytes. A last row without payload says how far the log was read, with id 0 when to its end. There, lost says that a cursor of _epoch missed events (EXPIRED) or is of another log (UNKNOWN), and the place is where the log begins; held_ms, for how long a committed event has been waiting for an older transaction. Without _xid nothing is read. Checks no rights: who calls it does.';

CREATE OR REPLACE FUNCTION public.recent_message_count(p_channel_id bigint)
 RETURNS bigint
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
BEGIN ATOMIC
 SELECT count(*) AS count
    FROM (channels c
      JOIN messages m ON ((m.channel_id = c.id)))
   WHERE ((c.id = recent_message_count.p_channel_id) AND (c.tenant_id = app_tenant_id()) AND (app_is_service() OR (((c.type)::text = 'GROUP'::text) AND (NOT c.is_private)) OR (EXISTS ( SELECT 1
            FROM channel_members cm
           WHERE ((cm.channel_id = c.id) AND (cm.user_id = app_user_id()) AND ((cm.status)::text = ANY ((ARRAY['ACTIVE'::character varying, 'MUTED'::character varying])::text[])))))) AND (m.is_deleted = false) AND (m.notice IS NULL) AND (m.created_at > (( SELECT now_ms() AS now_ms) - 86400000)));
END;
alter function recent_message_count(bigint) owner to discuss_system;
revoke all on function recent_message_count(bigint) from public;
grant execute on function recent_message_count(bigint) to discuss_service;
comment on function recent_message_count(bigint) is 'Messages of the last 24 hours, without deleted ones and notices, in a channel the caller may see; 0 in any other.';

CREATE OR REPLACE FUNCTION public.reconcile_counters(_tenant_id bigint, _after bigint, _limit integer)
 RETURNS TABLE(kind text, checked bigint, mended bigint, next_after bigint)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
#variable_conflict use_column
declare
  _ids bigint[] := page_of_channels(_tenant_id, _after, _limit, 50000);
  _next bigint := _ids[cardinality(_ids)];
  _wrong bigint[];
  _checked jsonb;
  _mended jsonb;
begin
  if current_setting('app.role', true) is distinct from 'operator' then
    raise exception 'reconcile_counters: for operators' using errcode = 'insufficient_privilege';
  end if;
  if page_of_channels(_tenant_id, _next, 1, 0) is null then
    _next := null;
  end if;

  with found as materialized (select * from wrong_channels(_ids))
  select
    (select jsonb_object_agg(f.part, f.checked) from found f),
    (select array_agg(distinct w.id) from found f cross join lateral unnest(f.wrong) as w(id))
  into _checked, _wrong;

  -- All at once and in the order of all who lock several; then the members, whose markers move without that lock.
  perform 1
  from channels c
  where c.id = any(_wrong)
  order by c.id
  for no key update;
  perform 1
  from channel_members m
  where m.channel_id = any(_wrong)
  order by m.id
  for no key update;

  if _wrong is not null then
    -- One after the other, as the later ones are derived from the earlier ones.
    select jsonb_object_agg(m.kind, m.mended) into _mended from mend_channels(_wrong) m;
    select _mended || jsonb_object_agg(m.kind, m.mended) into _mended from mend_deleted_posts(_wrong) m;
    select _mended || coalesce(jsonb_object_agg(m.kind, m.mended), '{}') into _mended from mend_members(_wrong) m;
    select _mended || coalesce(jsonb_object_agg(m.kind, m.mended), '{}') into _mended from mend_followers(_wrong) m;
    select _mended || coalesce(jsonb_object_agg(m.kind, m.mended), '{}') into _mended from mend_threads(_wrong) m;
  end if;
  return query
  select
    k.kind,
    (_checked ->> split_part(k.kind, '.', 1))::bigint,
    coalesce((_mended ->> k.kind)::bigint, 0),
    _next
  from unnest(array[
    'channels.member_count', 'channels.message_count', 'channels.last_message_at', 'channels.last_message_id',
    'channels.post_seq', 'channels.event_seq', 'deleted_posts', 'channel_members.read_post_seq',
    'channel_members.own_posts', 'channel_members.own_posts_read', 'channel_members.unread_count',
    'thread_followers.replies', 'thread_followers.first_reply_id', 'messages.thread_count',
    'messages.thread_user_count', 'messages.thread_users', 'messages.last_reply_at'
  ]) as k(kind);
end
$function$;
alter function reconcile_counters(bigint,bigint,integer) owner to discuss_system;
revoke all on function reconcile_counters(bigint,bigint,integer) from public;
grant execute on function reconcile_counters(bigint,bigint,integer) to discuss_service;
comment on function reconcile_counters(bigint,bigint,integer) is 'Compares every stored number of a page of channels, of one tenant or (0) of all, with a count by hand, and mends what is wrong. For each kind how many were looked at and mended, and where to go on (null: all done). For operators.';

CREATE OR REPLACE FUNCTION public.record_activities(_items json, _request_id uuid, _payload_hash bytea)
 RETURNS TABLE(refusal text, activities text)
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
#variable_conflict use_column
begin
  if _request_id is not null then
    insert into idempotency_keys (tenant_id, user_id, request_id, method, payload_hash, created_at)
    values (app_tenant_id(), app_user_id(), _request_id, 'RecordActivities', _payload_hash, now_ms())
    on conflict do nothing;
    if not found then
      return query
      select
        case
          when k.method = 'RecordActivities' and k.payload_hash = _payload_hash then 'REPEATED'
          else 'REQUEST_ID_REUSED'
        end,
        null::text
      from idempotency_keys k
      where k.tenant_id = app_tenant_id()
        and k.user_id = app_user_id()
        and k.request_id = _request_id;
      return;
    end if;
  end if;

  -- Two that record under one key take turns. Keys share 256 locks, so that a large batch takes no more than
  -- these, and takes them in order.
  perform pg_advisory_xact_lock(hashtext('discuss.record_activities'), s.stripe)
  from (
    select distinct hashtextextended(u.user_id || ':' || (i ->> 'collapseKey'), app_tenant_id())::bit(8)::int as stripe
    from json_array_elements(_items) as i
    cross join lateral json_array_elements_text(i -> 'userIds') as u(user_id)
    where i ->> 'collapseKey' is not null
    order by 1
  ) as s;

  return query
  with item as materialized (
    select i.*
    from json_to_recordset(_items) as i(
      item int, "userIds" bigint[], type text, "actorId" bigint, "entityType" text, "entityId" bigint,
      "channelId" bigint, title text, description text, metadata text, "collapseKey" text
    )
  ),
  wanted as materialized (
    select i.*, u.user_id
    from item i
    cross join lateral (select distinct unnest(i."userIds") as user_id) as u
    left join channels c on c.id = i."channelId" and c.tenant_id = app_tenant_id() and c.deleted_at is null
    left join channel_members m
      on m.channel_id = c.id and m.user_id = u.user_id and m.status in ('ACTIVE', 'MUTED')
    where u.user_id != i."actorId"
      and (i."channelId" is null or wants_activity(m.is_muted, m.notification_level, false))
  ),
  -- The last of each key says what it is; what has no key is one of its own.
  latest as materialized (
    select distinct on (w.user_id, w."collapseKey", case when w."collapseKey" is null then w.item end)
      w.*,
      count(*) over (
        partition by w.user_id, w."collapseKey", case when w."collapseKey" is null then w.item end
      )::int as occurrences,
      t.now
    from wanted w
    cross join (select now_ms() as now) as t
    order by w.user_id, w."collapseKey", case when w."collapseKey" is null then w.item end, w.item desc
  ),
  -- In the order in which readers lock them.
  open as materialized (
    select a.id, a."timestamp", a.user_id, a.collapse_key
    from activity_feed a
    where a.tenant_id = app_tenant_id()
      and not a.is_read
      and (a.user_id, a.collapse_key) in (
        select l.user_id, l."collapseKey" from latest l where l."collapseKey" is not null
      )
    order by a.id
    for no key update
  ),
  updated as (
    update activity_feed a
    set
      occurrences = a.occurrences + l.occurrences,
      action_type = l.type,
      actor_id = l."actorId",
      entity_type = l."entityType",
      entity_id = l."entityId",
      channel_id = l."channelId",
      title = l.title,
      description = l.description,
      metadata = l.metadata::jsonb,
      "timestamp" = greatest(a."timestamp", l.now),
      xid = pg_current_xact_id()
    from open o
    join latest l on l.user_id = o.user_id and l."collapseKey" = o.collapse_key
    where a.id = o.id and a."timestamp" = o."timestamp"
    returning a as activity, l.user_id, l."collapseKey"
  ),
  inserted as (
    insert into activity_feed as a
      (tenant_id, user_id, action_type, actor_id, entity_type, entity_id, channel_id, title, description, metadata,
       collapse_key, occurrences, "timestamp", created_at)
    select
      app_tenant_id(), l.user_id, l.type, l."actorId", l."entityType", l."entityId", l."channelId", l.title,
      l.description, l.metadata::jsonb, l."collapseKey", l.occurrences, l.now, l.now
    from latest l
    where l."collapseKey" is null
      or (l.user_id, l."collapseKey") not in (select o.user_id, o.collapse_key from open o)
    order by l.item, l.user_id
    returning a as activity
  )
  select null::text, json_agg(activity_json(r.activity, null))::text
  from (
    select u.activity from updated u
    union all
    select i.activity from inserted i
  ) as r;
end
$function$;
comment on function record_activities(json,uuid,bytea) is 'Records a batch of a service for users of its tenant, and returns the activities as JSON. With a channel, for those of its members who want to know. refusal is REPEATED when the request id was used for the same batch, REQUEST_ID_REUSED when for something else; nothing is recorded then.';

CREATE OR REPLACE FUNCTION public.record_additions(_channel_id bigint, _user_ids bigint[], _actor_name text)
 RETURNS text
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
BEGIN ATOMIC
 WITH recorded AS (
          INSERT INTO activity_feed AS a (tenant_id, user_id, action_type, actor_id, entity_type, entity_id, channel_id, description, title, metadata, "timestamp", created_at)  SELECT c.tenant_id,
                     m.user_id,
                     'ADDED_TO_CHANNEL',
                     app_user_id() AS app_user_id,
                     c.entity_type,
                     c.entity_id,
                     c.id,
                     activity_text('ADDED_TO_CHANNEL'::text, record_additions._actor_name, (c.name)::text) AS activity_text,
                     NULLIF("left"((c.name)::text, 255), ''::text) AS "nullif",
                     jsonb_build_object('actor_name', record_additions._actor_name, 'channel_name', c.name) AS jsonb_build_object,
                     t.now,
                     t.now
                    FROM ((channels c
                      JOIN channel_members m ON ((m.channel_id = c.id)))
                      CROSS JOIN ( SELECT now_ms() AS now) t)
                   WHERE ((c.id = record_additions._channel_id) AND (c.tenant_id = app_tenant_id()) AND ((c.type)::text <> 'DIRECT'::text) AND (m.user_id = ANY (record_additions._user_ids)) AND (m.user_id <> app_user_id()) AND ((m.status)::text = ANY ((ARRAY['ACTIVE'::character varying, 'MUTED'::character varying])::text[])) AND wants_activity(m.is_muted, (m.notification_level)::text, false) AND (app_is_service() OR (EXISTS ( SELECT 1
                            FROM channel_members me
                           WHERE ((me.channel_id = c.id) AND (me.user_id = app_user_id()) AND ((me.status)::text = ANY ((ARRAY['ACTIVE'::character varying, 'MUTED'::character varying])::text[])))))))
                   ORDER BY m.user_id
           RETURNING a.*::activity_feed AS activity
         )
  SELECT (json_agg(activity_json(r.activity, NULL::text)))::text AS json_agg
    FROM recorded r;
END;
alter function record_additions(bigint,bigint[],text) owner to discuss_system;
revoke all on function record_additions(bigint,bigint[],text) from public;
grant execute on function record_additions(bigint,bigint[],text) to discuss_service;
comment on function record_additions(bigint,bigint[],text) is 'Records for users whom the caller just made members of a group or topic that they are. Returns the activities as JSON, null when there are none.';

CREATE OR REPLACE FUNCTION public.record_mentions(_channel_id bigint, _message_id bigint, _user_ids bigint[], _actor_name text)
 RETURNS text
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
BEGIN ATOMIC
 WITH recorded AS (
          INSERT INTO activity_feed AS a (tenant_id, user_id, action_type, actor_id, channel_id, message_id, description, title, metadata, "timestamp", created_at)  SELECT p_1.tenant_id,
                     m.user_id,
                     'MENTION_RECEIVED',
                     p_1.sender_id,
                     c.id,
                     p_1.id,
                     activity_text('MENTION_RECEIVED'::text, record_mentions._actor_name, (c.name)::text) AS activity_text,
                     NULLIF("left"((c.name)::text, 255), ''::text) AS "nullif",
                     jsonb_build_object('actor_name', record_mentions._actor_name, 'channel_name', c.name, 'reason', 'NAMED') AS jsonb_build_object,
                     t.now,
                     t.now
                    FROM (((messages p_1
                      JOIN channels c ON ((c.id = p_1.channel_id)))
                      JOIN channel_members m ON ((m.channel_id = c.id)))
                      CROSS JOIN ( SELECT now_ms() AS now) t)
                   WHERE ((p_1.id = record_mentions._message_id) AND (p_1.channel_id = record_mentions._channel_id) AND (p_1.tenant_id = app_tenant_id()) AND (p_1.sender_id = app_user_id()) AND (NOT p_1.is_deleted) AND (m.user_id = ANY (record_mentions._user_ids)) AND (m.user_id = ANY (p_1.mentions)) AND (m.user_id <> p_1.sender_id) AND ((m.status)::text = ANY ((ARRAY['ACTIVE'::character varying, 'MUTED'::character varying])::text[])) AND wants_activity(m.is_muted, (m.notification_level)::text, true) AND (NOT (EXISTS ( SELECT 1
                            FROM activity_feed b
                           WHERE ((b.message_id = p_1.id) AND (b.tenant_id = p_1.tenant_id) AND (b.user_id = m.user_id) AND ((b.action_type)::text = 'MENTION_RECEIVED'::text))))))
                   ORDER BY m.user_id
           RETURNING a.*::activity_feed AS activity
         )
  SELECT (json_agg(activity_json(r.activity, p.content)))::text AS json_agg
    FROM (recorded r
      JOIN messages p ON ((p.id = record_mentions._message_id)));
END;
alter function record_mentions(bigint,bigint,bigint[],text) owner to discuss_system;
revoke all on function record_mentions(bigint,bigint,bigint[],text) from public;
grant execute on function record_mentions(bigint,bigint,bigint[],text) to discuss_service;
comment on function record_mentions(bigint,bigint,bigint[],text) is 'Records for users that an edit of the caller''s message now mentions them. Returns the activities as JSON, null when there are none.';

CREATE OR REPLACE FUNCTION public.record_message(_message_id bigint, _actor_name text)
 RETURNS text
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
declare
  _activities text;
begin
  with post as materialized (
    select
      p.id, p.tenant_id, p.channel_id, p.sender_id, p.content, p.mentions, p.mention_scope, p.parent_id,
      p.created_at, r.sender_id as root_sender_id, c.name
    from messages p
    join channels c on c.id = p.channel_id
    left join messages r on r.id = p.parent_id
    where p.id = _message_id
  ),
  -- Whom it concerns and why, the strongest reason for each.
  concerned as materialized (
    select distinct on (u.user_id) u.user_id, u.type, u.reason
    from (
      select unnest(p.mentions) as user_id, 'MENTION_RECEIVED' as type, 'NAMED' as reason, 1 as rank
      from post p
      union all
      select m.user_id, 'MENTION_RECEIVED', 'EVERYBODY', 2
      from post p
      join channel_members m on m.channel_id = p.channel_id and m.status in ('ACTIVE', 'MUTED')
      where p.mention_scope = 'CHANNEL'
      union all
      select
        f.user_id, 'REPLY_RECEIVED',
        case when f.user_id = p.root_sender_id then 'THREAD_STARTED' else 'THREAD_FOLLOWED' end, 3
      from post p
      join thread_followers f
        on f.tenant_id = p.tenant_id
        and f.root_id = p.parent_id
        and f.is_following
        -- Not who follows since a later reply of the same batch.
        and f.read_reply_id < p.id
    ) as u
    order by u.user_id, u.rank
  ),
  recorded as (
    insert into activity_feed as a
      (tenant_id, user_id, action_type, actor_id, channel_id, message_id, description, title, metadata,
       "timestamp", created_at)
    select
      p.tenant_id, n.user_id, n.type, p.sender_id, p.channel_id, p.id,
      activity_text(n.type, _actor_name, p.name), nullif(left(p.name, 255), ''),
      jsonb_strip_nulls(jsonb_build_object(
        'actor_name', _actor_name,
        'channel_name', p.name,
        'reason', n.reason,
        'root_message_id', p.parent_id::text
      )),
      p.created_at, p.created_at
    from post p
    cross join concerned n
    join channel_members m
      on m.channel_id = p.channel_id and m.user_id = n.user_id and m.status in ('ACTIVE', 'MUTED')
    where n.user_id != p.sender_id
      and wants_activity(m.is_muted, m.notification_level, n.type = 'MENTION_RECEIVED')
    order by n.user_id
    returning a as activity
  )
  select json_agg(activity_json(r.activity, p.content))::text
  into _activities
  from recorded r
  cross join post p;
  return _activities;
end
$function$;
alter function record_message(bigint,text) owner to discuss_system;
revoke all on function record_message(bigint,text) from public;
comment on function record_message(bigint,text) is 'Records for users that a message which was just posted mentions them or replies in a thread of theirs; only send_messages() calls it. Returns the activities as JSON, null when there are none.';

CREATE OR REPLACE FUNCTION public.record_reaction(_channel_id bigint, _message_id bigint, _emoji text, _actor_name text, _given boolean)
 RETURNS text
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
declare
  _target record;
  _open activity_feed;
  _recorded activity_feed;
  _mine constant jsonb := jsonb_build_object('user_id', app_user_id(), 'emoji', _emoji);
  _gathered jsonb;
  _last jsonb;
begin
  if _given is null then
    return null;
  end if;
  select
    p.tenant_id, p.sender_id, p.content, t.now, c.name, 'reaction:' || p.id as key,
    wants_activity(m.is_muted, m.notification_level, false) as wants,
    -- It is so: the caller is a member and did react, or took it back.
    p.reactions @> jsonb_build_array(
      jsonb_build_object('emoji', _emoji, 'users', jsonb_build_array(app_user_id()))
    ) as reacted
  into _target
  from messages p
  join channels c on c.id = p.channel_id
  join channel_members m on m.channel_id = c.id and m.user_id = p.sender_id
  cross join (select now_ms() as now) as t
  where p.id = _message_id
    and p.channel_id = _channel_id
    and p.tenant_id = app_tenant_id()
    and p.sender_id != app_user_id()
    and m.status in ('ACTIVE', 'MUTED');
  if not found or _target.reacted != _given or (_given and not _target.wants) then
    return null;
  end if;

  select a.*
  into _open
  from activity_feed a
  where a.tenant_id = _target.tenant_id
    and a.user_id = _target.sender_id
    and a.collapse_key = _target.key
    and not a.is_read
  for no key update;
  _gathered := coalesce(_open.gathered, '[]');
  if (_gathered @> jsonb_build_array(_mine)) = _given then
    return null;
  end if;
  if _given then
    _gathered := case when jsonb_array_length(_gathered) < 100 then _gathered else _gathered - 0 end
      || jsonb_build_array(_mine || jsonb_build_object('name', _actor_name));
  else
    select coalesce(jsonb_agg(g.reaction order by g.place), '[]')
    into _gathered
    from jsonb_array_elements(_gathered) with ordinality as g(reaction, place)
    where not g.reaction @> _mine;
  end if;

  if _gathered = '[]' then
    delete from activity_feed a
    where a.id = _open.id and a."timestamp" = _open."timestamp"
    returning a.* into _recorded;
    _recorded.occurrences := 0;
    return json_build_array(activity_json(_recorded, _target.content))::text;
  end if;

  _last := _gathered -> -1;
  if _open.id is null then
    insert into activity_feed
      (tenant_id, user_id, action_type, actor_id, channel_id, message_id, description, title, metadata,
       collapse_key, gathered, "timestamp", created_at)
    values (
      _target.tenant_id, _target.sender_id, 'REACTION_RECEIVED', app_user_id(), _channel_id, _message_id,
      activity_text('REACTION_RECEIVED', _actor_name, _target.name, _emoji), nullif(left(_target.name, 255), ''),
      jsonb_build_object('actor_name', _actor_name, 'channel_name', _target.name, 'emoji', _emoji),
      _target.key, _gathered, _target.now, _target.now
    )
    returning * into _recorded;
  else
    update activity_feed a
    set occurrences = greatest(a.occurrences + case when _given then 1 else -1 end, jsonb_array_length(_gathered)),
        actor_id = (_last ->> 'user_id')::bigint,
        description = activity_text('REACTION_RECEIVED', _last ->> 'name', _target.name, _last ->> 'emoji'),
        metadata = jsonb_build_object(
          'actor_name', _last ->> 'name', 'channel_name', _target.name, 'emoji', _last ->> 'emoji'
        ),
        gathered = _gathered,
        -- What is taken back is nothing new: it comes no higher, and who was shown the activity has seen it.
        "timestamp" = case when _given then greatest(a."timestamp", _target.now) else a."timestamp" end,
        xid = case when _given then pg_current_xact_id() else a.xid end
    where a.id = _open.id and a."timestamp" = _open."timestamp"
    returning a.* into _recorded;
  end if;
  return json_build_array(activity_json(_recorded, _target.content))::text;
end
$function$;
alter function record_reaction(bigint,bigint,text,text,boolean) owner to discuss_system;
revoke all on function record_reaction(bigint,bigint,text,text,boolean) from public;
grant execute on function record_reaction(bigint,bigint,text,text,boolean) to discuss_service;
comment on function record_reaction(bigint,bigint,text,text,boolean) is 'Records for the sender of a message that the caller reacted to it, as one activity for all reactions until it is read; or, if not _given, takes a reaction that was taken back out of it again. Returns the activity as JSON, with 0 occurrences where nothing is left of it, or null.';

CREATE OR REPLACE FUNCTION public.record_reply(_message_id bigint, _payload bytea)
 RETURNS bytea
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
 SET plan_cache_mode TO 'force_generic_plan'
 SET enable_seqscan TO 'off'
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
AS $function$
declare
  _reply record;
  _root record;
  _is_new_user boolean;
  _stamped bytea;
begin
  select r.id, r.tenant_id, r.channel_id, r.parent_id, r.sender_id, r.mentions, r.event_seq, r.created_at
  into _reply
  from messages r
  where r.id = _message_id;

  _is_new_user := _reply.sender_id > 0 and not exists (
    select 1
    from thread_followers f
    where f.tenant_id = _reply.tenant_id
      and f.root_id = _reply.parent_id
      and f.user_id = _reply.sender_id
      and f.replies > 0
  );

  update messages p
  set
    thread_count = p.thread_count + 1,
    thread_user_count = p.thread_user_count + _is_new_user::int,
    thread_users = case when _is_new_user then (p.thread_users || _reply.sender_id)[:5] else p.thread_users end,
    last_reply_at = _reply.created_at,
    event_seq = _reply.event_seq
  where p.id = _reply.parent_id
  returning p.sender_id, p.thread_count, p.thread_user_count into _root;

  -- Following: the author of the first message has all replies before them, who replies those after their
  -- own, who is mentioned the one that mentions them. Who once said no is not made to follow again.
  insert into thread_followers as f
    (tenant_id, root_id, user_id, channel_id, read_reply_id, replies, first_reply_id)
  select _reply.tenant_id, _reply.parent_id, u.user_id, _reply.channel_id, min(u.read_id), sum(u.replies), min(u.first_id)
  from (
    select _reply.sender_id as user_id, _reply.id as read_id, 1 as replies, _reply.id as first_id
    union all
    select _root.sender_id, 0, 0, null
    union all
    select unnest(_reply.mentions), _reply.id - 1, 0, null
  ) as u
  join channel_members m
    on m.channel_id = _reply.channel_id and m.user_id = u.user_id and m.status in ('ACTIVE', 'MUTED')
  group by u.user_id
  order by u.user_id
  on conflict (tenant_id, root_id, user_id) do update
  set
    replies = f.replies + excluded.replies,
    first_reply_id = coalesce(f.first_reply_id, excluded.first_reply_id)
  where excluded.replies > 0;

  _stamped := stamp_thread(_payload, _root.thread_count, _root.thread_user_count);
  update channel_events e
  set payload = _stamped
  where e.channel_id = _reply.channel_id
    and e.seq = _reply.event_seq
    and e.created_at = _reply.created_at;
  return _stamped;
end
$function$;
alter function record_reply(bigint,bytea) owner to discuss_system;
revoke all on function record_reply(bigint,bytea) from public;
comment on function record_reply(bigint,bytea) is 'Counts a reply that was just posted in its thread, has its people follow it, and returns its event, as logged from now on, with how the thread stands; only send_messages() calls it.';

CREATE OR REPLACE FUNCTION public.restart_event_feed()
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
  update event_feed set epoch = epoch + 1 + (random() * 1000000000)::bigint;
  -- Where a dump was restored, transactions are numbered anew, and these would be waited for.
  update channel_events set xid = pg_current_xact_id() where xid > pg_current_xact_id();
end
$function$;
alter function restart_event_feed() owner to discuss_system;
revoke all on function restart_event_feed() from public;
comment on function restart_event_feed() is 'To be called by the owner after the database was restored from a backup: cursors of StreamTenantEvents from before may be of events that are no more, so their holders are told to read anew.';

CREATE OR REPLACE FUNCTION public.schema_version()
 RETURNS text
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
BEGIN ATOMIC
 SELECT max(m.name) AS max
    FROM schema_migrations m;
END;
revoke all on function schema_version() from public;
grant execute on function schema_version() to discuss_service;
comment on function schema_version() is 'Name of the last migration applied.';

CREATE OR REPLACE FUNCTION public.search_channels(_words text[], _limit integer)
 RETURNS TABLE(channel_id bigint, score integer)
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
 SET plan_cache_mode TO 'force_custom_plan'
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
declare
  _folded constant text[] := array(select fold_text(w) from unnest(_words) as w order by length(w) desc, w);
  _whole constant text := fold_text(array_to_string(_words, ' '));
  -- A part has three letters at least; less is the beginning of a word.
  _patterns constant text[] :=
    array(select case when length(w) < 3 then '% ' else '%' end || w || '%' from unnest(_folded) as w);
begin
  return query
  select
    c.id,
    case
      when n.name = ' ' || _whole then 4
      when n.name like ' ' || _whole || '%' then 3
      when n.name like '% ' || _whole || '%' then 2
      else 1
    end
  from channel_names n
  join channels c on c.id = n.channel_id
  where array[n.tenant_id] && array[app_tenant_id()]
    and c.tenant_id = app_tenant_id()
    and c.deleted_at is null
    -- The longest word by the index, the others among what it finds.
    and n.name like _patterns[1]
    and n.name like all (_patterns)
    and (
      (c.type = 'GROUP' and not c.is_private)
      or exists (
        select 1
        from channel_members cm
        where cm.channel_id = c.id
          and cm.tenant_id = c.tenant_id
          and cm.user_id = app_user_id()
          and cm.status in ('ACTIVE', 'MUTED')
      )
    )
  order by 2 desc, c.last_message_at desc nulls last, c.id desc
  limit _limit;
end
$function$;
alter function search_channels(text[],integer) owner to discuss_system;
revoke all on function search_channels(text[],integer) from public;
grant execute on function search_channels(text[],integer) to discuss_service;
comment on function search_channels(text[],integer) is 'Channels of the caller and public groups of the tenant whose names hold all the words, the best _limit: 4 the name itself, 3 its beginning, 2 the beginning of a word, 1 anything else. Looks by itself at tenant and membership, because row-level security would keep like from the index.';

CREATE OR REPLACE FUNCTION public.search_messages(_query tsquery, _filter jsonb, _before bigint, _from bigint, _now bigint, _limit integer)
 RETURNS TABLE(message_id bigint, score bigint)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
 SET plan_cache_mode TO 'force_generic_plan'
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
declare
  _tenant constant bigint := app_tenant_id();
  _user constant bigint := app_user_id();
  _wanted constant bigint[] := array(select jsonb_array_elements_text(_filter -> 'channelIds')::bigint);
  _thread constant bigint := _filter ->> 'parentId';
  _after_ms constant bigint := _filter ->> 'afterMs';
  _before_ms constant bigint := _filter ->> 'beforeMs';
  _has_attachment constant boolean := _filter ->> 'hasAttachment';
  _types constant text[] := array(select jsonb_array_elements_text(_filter -> 'types'));
  -- What is not asked for is the tenant's token, which all have.
  _any constant bigint[] := array[_tenant * 8];
  _senders bigint[] := array(select jsonb_array_elements_text(_filter -> 'senderIds')::bigint * 8 + 2);
  _kinds bigint[];
  _channels bigint[];
  _scope bigint[];
  _spans bigint[];
  _posts bigint;
  _end bigint;
  _start bigint;
  _low bigint;
  -- The index collects all words with a beginning anew for each span.
  _width bigint := case when _query::text like '%:*%' then 131072 else 16384 end;
  _looked bigint := 0;
  _found int := 0;
  _rows int;
begin
  select
    array_agg(c.id),
    sum(c.post_seq),
    -- Inside a channel messages are in the order of time.
    max(case
      when _before_ms is null then c.last_message_id
      else (
        select m.id
        from messages m
        where m.channel_id = c.id and not m.is_deleted and m.created_at < _before_ms
        order by m.created_at desc, m.id desc
        limit 1
      )
    end) + 1
  into _channels, _posts, _end
  from channel_members cm
  join channels c on c.id = cm.channel_id
  where cm.user_id = _user
    and cm.tenant_id = _tenant
    and cm.status in ('ACTIVE', 'MUTED')
    and c.tenant_id = _tenant
    and c.deleted_at is null
    and (cardinality(_wanted) = 0 or c.id = any(_wanted));

  if _query is null or _end is null then
    return;
  end if;
  _end := least(_end, _before);
  -- A thread begins with its first message.
  _start := greatest(_from, _thread, 0);

  -- A match costs the index some 0.3 us for each channel it is asked for, and 4 us to be read from the table and
  -- dropped there. So with many channels that hold much of what was posted, the index is asked for the tenant.
  _scope := case
    when cardinality(_channels) <= 13 * _end / greatest(_posts, 1) then array(select c * 8 + 1 from unnest(_channels) as c)
    else _any
  end;
  if cardinality(_senders) = 0 then
    _senders := _any;
  end if;
  _kinds := array(
    select case t when 'TEXT' then 5 when 'IMAGE' then 13 when 'FILE' then 21 when 'SYSTEM' then 29 when 'CODE' then 37 else 45 end
    from unnest(_types) as t
  );
  if cardinality(_kinds) = 0 then
    _kinds := _any;
  end if;

  -- From the newest ids to the oldest, each time as far as it should take by what was found so far: what is found
  -- often is found at once, and what is found seldom costs a handful of looks into the index.
  while _found < _limit and _end > _start loop
    -- A large span that began above _end would be looked at twice.
    _low := greatest(_start, case
      when _thread is not null or _width > 16777216 then 0
      when _width <= 262144 then (_end - _width) >> 13 << 13
      when _end & 262143 = 0 then (_end - _width) >> 18 << 18
      else _end >> 18 << 18
    end);
    _spans := case
      when _thread is not null or _width > 16777216 then _any
      when _width > 262144 and _end & 262143 = 0
        then array(select n * 8 + 4 from generate_series(_low >> 18, (_end - 1) >> 18) as n)
      else array(select n * 8 + 3 from generate_series(_low >> 13, (_end - 1) >> 13) as n)
    end;

    -- The + 0 and the like keep other indexes out of it, which know nothing of the words.
    return query
    select
      f.id,
      case
        when _now is null then 0
        else (
          ts_rank(f.search_vector, _query, 1)
          * (0.25 + 0.75 * power(0.5, greatest(_now - f.created_at, 0) / (30 * 86400000.0)))
          * 1000000000
        )::bigint
      end
    from (
      select m.id, m.created_at, m.search_vector
      from messages m
      where m.search_vector @@ _query
        and search_scope(m.id, m.tenant_id, m.channel_id, m.sender_id, m.message_type) && _scope
        and search_scope(m.id, m.tenant_id, m.channel_id, m.sender_id, m.message_type) && _spans
        and search_scope(m.id, m.tenant_id, m.channel_id, m.sender_id, m.message_type) && _senders
        and search_scope(m.id, m.tenant_id, m.channel_id, m.sender_id, m.message_type) && _kinds
        and m.tenant_id + 0 = _tenant
        and (
          select cm.status in ('ACTIVE', 'MUTED')
          from channel_members cm
          where cm.channel_id = m.channel_id and cm.tenant_id = _tenant and cm.user_id = _user
        )
        and m.id + 0 >= _low
        and m.id + 0 < _end
        and m.is_deleted::int = 0
        and (_thread is null or m.parent_id = _thread or m.id = _thread)
        and (_after_ms is null or m.created_at >= _after_ms)
        and (_before_ms is null or m.created_at < _before_ms)
        and (
          _has_attachment is null
          or _has_attachment
            = exists (select 1 from attachments a where a.message_id = m.id and a.tenant_id = _tenant)
        )
      order by m.id + 0 desc
      limit _limit - _found
    ) as f;
    get diagnostics _rows = row_count;
    _found := _found + _rows;
    _looked := _looked + _end - _low;
    _end := _low;
    _width := least(_width * 8, case when _found > 0 then (_limit - _found) * _looked / _found * 5 / 4 + 8192 end);
  end loop;
end
$function$;
alter function search_messages(tsquery,jsonb,bigint,bigint,bigint,integer) owner to discuss_system;
revoke all on function search_messages(tsquery,jsonb,bigint,bigint,bigint,integer) from public;
grant execute on function search_messages(tsquery,jsonb,bigint,bigint,bigint,integer) to discuss_service;
comment on function search_messages(tsquery,jsonb,bigint,bigint,bigint,integer) is 'The newest messages that match, at most _limit, with _from <= id < _before (null: any), each with its score at the time _now in epoch ms (null: 0). Looks by itself at tenant and membership of the caller, because row-level security would keep @@ from the index.';

CREATE OR REPLACE FUNCTION public.search_name(_name text)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE STRICT
RETURN (' '::text || translate(fold_text(_name), '-_/.#'::text, '     '::text));
comment on function search_name(text) is 'Name as SearchChannels compares it: folded, and with a space before each word.';

CREATE OR REPLACE FUNCTION public.search_query(_terms jsonb, _without_stop_words boolean)
 RETURNS tsquery
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
 SET client_min_messages TO 'warning'
 SET enable_seqscan TO 'off'
AS $function$
declare
  _query tsquery := '';
  _english tsquery;
  _words tsquery;
  _dropped boolean := false;
  _term record;
begin
  for _term in
    select t.typed, t.english, t.part, t.negated
    from jsonb_to_recordset(_terms) as t(typed text, english text, part text, negated boolean)
  loop
    _words := to_tsquery('public.discuss_simple', _term.typed);
    if _term.english is not null then
      _english := to_tsquery('pg_catalog.english', _term.english);
      if _without_stop_words and not _term.negated and numnode(_english) = 0 then
        _dropped := true;
        continue;
      end if;
      _words := _words || _english;
    end if;
    if _term.part is not null then
      select coalesce(_words, '') || coalesce(string_agg(quote_literal(p.word) || ':A', ' | '), '')::tsquery
      into _words
      from (
        select w.word
        from search_words w
        where array[w.tenant_id] && array[app_tenant_id()]
          and w.word like '%' || fold_text(_term.part) || '%'
        order by length(w.word), w.word
        limit 64
      ) as p;
    end if;
    if numnode(_words) = 0 then
      -- A word that is nowhere can be left out, but not be found.
      continue when _term.negated;
      return null;
    end if;
    _query := _query && case when _term.negated then !! _words else _words end;
  end loop;
  return case when _without_stop_words and not _dropped or numnode(_query) = 0 then null else _query end;
end
$function$;
alter function search_query(jsonb,boolean) owner to discuss_system;
revoke all on function search_query(jsonb,boolean) from public;
grant execute on function search_query(jsonb,boolean) to discuss_service;
comment on function search_query(jsonb,boolean) is 'The query for messages.search_vector that asks for all terms: typed and english are texts for to_tsquery(), part is looked up among the tenant''s words. Null when nothing can match, and when stop words were to be dropped and there are none.';

CREATE OR REPLACE FUNCTION public.search_scope(_id bigint, _tenant_id bigint, _channel_id bigint, _sender_id bigint, _type text)
 RETURNS bigint[]
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
RETURN ARRAY[(_tenant_id * 8), ((_channel_id * 8) + 1), ((_sender_id * 8) + 2), (((_id >> 13) * 8) + 3), (((_id >> 18) * 8) + 4), (CASE _type WHEN 'TEXT'::text THEN 5 WHEN 'IMAGE'::text THEN 13 WHEN 'FILE'::text THEN 21 WHEN 'SYSTEM'::text THEN 29 WHEN 'CODE'::text THEN 37 ELSE 45 END)::bigint];
comment on function search_scope(bigint,bigint,bigint,bigint,text) is 'Where a message belongs, as tokens of idx_messages_search: tenant, channel, sender, its span of 8,192 and of 262,144 ids, type. The last three bits say which.';

CREATE OR REPLACE FUNCTION public.send_messages(_items json)
 RETURNS TABLE(item integer, refusal text, message_id bigint, "position" bigint, created_at bigint, seq bigint, payload bytea, activities text)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
 SET enable_seqscan TO 'off'
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
AS $function$
declare
  -- Of those that may concern somebody, by item: the name of the sender, and whether it is a reply.
  _concerning jsonb;
begin
  select jsonb_object_agg(i.item, jsonb_build_object('name', coalesce(i."userName", ''), 'reply', i."parentId" is not null))
  into _concerning
  from json_to_recordset(_items) as i(
    item int, "userName" text, mentions bigint[], "mentionScope" text, "parentId" bigint
  )
  where i.mentions != '{}' or i."mentionScope" = 'CHANNEL' or i."parentId" is not null;

  for item, refusal, message_id, "position", created_at, seq, payload in
    select p.item, p.refusal, p.message_id, p."position", p.created_at, p.seq, p.payload
    from post_messages(_items) as p
  loop
    activities := null;
    if refusal is null and _concerning ? item::text then
      if (_concerning -> item::text ->> 'reply')::boolean then
        payload := record_reply(message_id, payload);
      end if;
      activities := record_message(message_id, _concerning -> item::text ->> 'name');
    end if;
    return next;
  end loop;
end
$function$;
alter function send_messages(json) owner to discuss_system;
revoke all on function send_messages(json) from public;
grant execute on function send_messages(json) to discuss_service;
comment on function send_messages(json) is 'Posts a batch of messages of any callers and tenants. Each item is checked by itself: tenant, membership (isManager, a service that acts for nobody, needs none), archive, parent. refusal is null for a posted one, REPEATED when its request id is taken (look the message up by it), else the reason. One refused item does not touch the others. activities are those recorded for the people a message concerns, as JSON; null when there are none.';

CREATE OR REPLACE FUNCTION public.settle_member_unread()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
  select derived_unread(c.id, new.user_id, c.post_seq, new.read_post_seq, new.own_posts, new.own_posts_read)
  into new.unread_count
  from channels c
  where c.id = new.channel_id;
  -- Without its channel the row fails at the foreign key, not here.
  new.unread_count := coalesce(new.unread_count, 0);
  return new;
end
$function$;
alter function settle_member_unread() owner to discuss_system;
revoke all on function settle_member_unread() from public;
comment on function settle_member_unread() is 'Stores the exact unread number whenever a membership begins, ends or moves its read marker.';

CREATE OR REPLACE FUNCTION public.settle_unread(p_limit integer)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
  _start bigint;
  _channel_ids bigint[];
  _versions bigint[];
  _differing bigint[];
  _locked bigint[];
  _mended int;
begin
  -- One at a time over all instances; the others have nothing to add.
  if not pg_try_advisory_xact_lock(hashtext('discuss.settle_unread')) then
    return 0;
  end if;

  -- A random start, so that a channel that is never quiet does not keep the others waiting.
  select floor(random() * (last_value + 1))::bigint into _start from channels_id_seq;

  -- As many channels as have about p_limit members together, and one at least.
  with candidates as (
    (
      select 1 as pass, c.id, c.unread_version, c.member_count
      from channels c
      where c.unread_version != c.settled_version and c.id >= _start
      order by c.id
      limit p_limit
    )
    union all
    (
      select 2 as pass, c.id, c.unread_version, c.member_count
      from channels c
      where c.unread_version != c.settled_version and c.id < _start
      order by c.id
      limit p_limit
    )
  ),
  budgeted as (
    select
      a.id, a.unread_version,
      sum(a.member_count) over (order by a.pass, a.id) - a.member_count as members_before,
      row_number() over (order by a.pass, a.id) as place
    from candidates a
  )
  select array_agg(b.id), array_agg(b.unread_version)
  into _channel_ids, _versions
  from budgeted b
  where b.members_before < p_limit
    and b.place <= p_limit;

  -- Deleted messages after a marker by binary search in one sorted list per channel: asking the table
  -- for each of 10,000 members took 1.3 s with 1,000 deleted messages.
  with deleted as materialized (
    select d.channel_id, array_agg(d.post_seq order by d.post_seq) as posts
    from deleted_posts d
    where d.channel_id = any(_channel_ids)
    group by d.channel_id
  ),
  deleted_own as materialized (
    select d.channel_id, d.sender_id, array_agg(d.post_seq order by d.post_seq) as posts
    from deleted_posts d
    where d.channel_id = any(_channel_ids)
    group by d.channel_id, d.sender_id
  )
  select array_agg(f.id)
  into _differing
  from (
    select m.id
    from channels c
    join channel_members m on m.channel_id = c.id and m.status in ('ACTIVE', 'MUTED')
    left join deleted d on d.channel_id = c.id
    left join deleted_own o on o.channel_id = c.id and o.sender_id = m.user_id
    where c.id = any(_channel_ids)
      and m.unread_count != greatest(
        0,
        c.post_seq
        - m.read_post_seq
        - (m.own_posts - m.own_posts_read)
        - coalesce(cardinality(d.posts) - width_bucket(m.read_post_seq, d.posts), 0)
        + coalesce(cardinality(o.posts) - width_bucket(m.read_post_seq, o.posts), 0)
      )
    limit p_limit + 1
  ) as f;

  -- Members are locked here without the lock of their channel, against the usual order: so wait for
  -- nobody. Computing comes after locking, or a marker that moved in between would be overwritten.
  select array_agg(l.id)
  into _locked
  from (
    select m.id
    from channel_members m
    where m.id = any(_differing[:p_limit])
    for no key update skip locked
  ) as l;

  update channel_members m
  set unread_count = derived_unread(
    m.channel_id, m.user_id, c.post_seq, m.read_post_seq, m.own_posts, m.own_posts_read
  )
  from channels c
  where c.id = m.channel_id
    and m.id = any(_locked);
  get diagnostics _mended = row_count;

  -- What was skipped or cut off leaves its channels unsettled for the next call, and so does a
  -- change since the versions were read.
  if coalesce(cardinality(_differing), 0) <= _mended then
    update channels c
    set settled_version = s.version
    from unnest(_channel_ids, _versions) as s(id, version)
    where c.id = s.id
      and c.id in (
        select l.id
        from channels l
        where l.id = any(_channel_ids)
        for no key update skip locked
      );
  end if;

  return _mended;
end
$function$;
alter function settle_unread(integer) owner to discuss_system;
revoke all on function settle_unread(integer) from public;
grant execute on function settle_unread(integer) to discuss_service;
comment on function settle_unread(integer) is 'Writes the exact unread number into up to p_limit memberships of channels that changed, and returns how many. Call it every few seconds; it waits for no lock and does nothing where another call is at work.';

CREATE OR REPLACE FUNCTION public.stamp_event(_payload bytea, _seq_at integer, _seq bigint, _ms bigint)
 RETURNS bytea
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE STRICT
RETURN OVERLAY(_payload PLACING (pb_varint9(_seq) || pb_time(_ms)) FROM (_seq_at + 1));
comment on function stamp_event(bytea,integer,bigint,bigint) is 'Writes seq (field 2) and time (field 3) over the placeholders of an encoded Event, whose seq value starts at byte _seq_at.';

CREATE OR REPLACE FUNCTION public.stamp_message(_payload bytea, _message_at integer, _id bigint, _position bigint, _ms bigint)
 RETURNS bytea
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE STRICT
RETURN OVERLAY(_payload PLACING (((pb_varint9(_id) || '\x10'::bytea) || pb_varint9(_position)) || pb_time(_ms)) FROM (_message_at + 1));
comment on function stamp_message(bytea,integer,bigint,bigint,bigint) is 'Writes id (field 1), position (2) and create_time (3) over the placeholders of the Message inside an encoded Event, whose id value starts at byte _message_at.';

CREATE OR REPLACE FUNCTION public.stamp_thread(_payload bytea, _replies bigint, _users bigint)
 RETURNS bytea
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE STRICT
RETURN OVERLAY(_payload PLACING ((pb_varint5(_replies) || '\x20'::bytea) || pb_varint5(_users)) FROM (length(_payload) - 10));
comment on function stamp_thread(bytea,bigint,bigint) is 'Writes thread_reply_count (field 3) and thread_participant_count (4) over the placeholders at the end of an encoded Event of a posted reply.';

CREATE OR REPLACE FUNCTION public.tell_of_changed_message()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
  update channels c
  set unread_version = c.unread_version + 1
  where c.id in (old.channel_id, new.channel_id);
  return null;
end
$function$;
alter function tell_of_changed_message() owner to discuss_system;
revoke all on function tell_of_changed_message() from public;
comment on function tell_of_changed_message() is 'Counts channels.unread_version up for a message that was changed without an event.';

CREATE OR REPLACE FUNCTION public.thread_truth(_ids bigint[])
 RETURNS TABLE(channel_id bigint, id bigint, thread_count integer, replies integer, thread_user_count integer, users integer, thread_users bigint[], first_users bigint[], last_reply_at bigint, last_at bigint)
 LANGUAGE sql
 STABLE
 SET search_path TO 'public', 'pg_temp'
 SET enable_nestloop TO 'off'
BEGIN ATOMIC
 WITH authors AS MATERIALIZED (
          SELECT x.parent_id,
             x.sender_id,
             count(*) AS replies,
             max(x.id) AS last_id,
             COALESCE(min(f.first_reply_id), min(x.id)) AS first_id
            FROM (messages x
              LEFT JOIN thread_followers f ON (((f.tenant_id = x.tenant_id) AND (f.root_id = x.parent_id) AND (f.user_id = x.sender_id))))
           WHERE ((x.channel_id = ANY (thread_truth._ids)) AND (x.parent_id IS NOT NULL) AND (NOT x.is_deleted))
           GROUP BY x.parent_id, x.sender_id
         ), threads AS MATERIALIZED (
          SELECT a.parent_id,
             (sum(a.replies))::integer AS replies,
             (count(*) FILTER (WHERE (a.sender_id > 0)))::integer AS users,
             (array_agg(a.sender_id ORDER BY a.first_id) FILTER (WHERE (a.sender_id > 0)))[:5] AS first_users,
             max(a.last_id) AS last_id
            FROM authors a
           GROUP BY a.parent_id
         )
  SELECT m.channel_id,
     m.id,
     m.thread_count,
     COALESCE(t.replies, 0) AS "coalesce",
     m.thread_user_count,
     COALESCE(t.users, 0) AS "coalesce",
     m.thread_users,
     COALESCE(t.first_users, '{}'::bigint[]) AS "coalesce",
     m.last_reply_at,
     ( SELECT x.created_at
            FROM messages x
           WHERE (x.id = t.last_id)) AS created_at
    FROM (messages m
      LEFT JOIN threads t ON ((t.parent_id = m.id)))
   WHERE (m.channel_id = ANY (thread_truth._ids));
END;
alter function thread_truth(bigint[]) owner to discuss_system;
revoke all on function thread_truth(bigint[]) from public;
comment on function thread_truth(bigint[]) is 'What messages show of their threads as stored, nothing where there is none, each followed by what it should be, counted by hand.';

CREATE OR REPLACE FUNCTION public.thread_unread(_root_id bigint, _user_id bigint, _read_reply_id bigint, _since bigint)
 RETURNS integer
 LANGUAGE sql
 STABLE PARALLEL SAFE
BEGIN ATOMIC
 SELECT (count(*))::integer AS count
    FROM messages r
   WHERE ((r.parent_id = thread_unread._root_id) AND (r.id > thread_unread._read_reply_id) AND (r.sender_id <> thread_unread._user_id) AND (r.created_at >= thread_unread._since) AND (NOT r.is_deleted));
END;
comment on function thread_unread(bigint,bigint,bigint,bigint) is 'The exact unread number of a thread: replies after the marker, without own and deleted ones, and without those from before _since, when the user (re)joined the channel.';

CREATE OR REPLACE FUNCTION public.update_channel_stats()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
  if tg_op = 'INSERT' then
    update channels c
    set message_count = c.message_count + 1,
        last_message_at = greatest(c.last_message_at, new.created_at),
        updated_at = greatest(c.updated_at, new.created_at),
        unread_version = c.unread_version + 1
    where c.id = new.channel_id;
  else
    perform 1
    from channels c
    where c.id in (select r.channel_id from removed r)
    order by c.id
    for no key update;

    update channels c
    set message_count = greatest(0, c.message_count - s.messages),
        updated_at = now_ms(),
        unread_version = c.unread_version + 1
    from (
      select r.channel_id, count(*) filter (where r.notice is null)::int as messages
      from removed r
      group by r.channel_id
    ) as s
    where c.id = s.channel_id;
  end if;
  return null;
end
$function$;
alter function update_channel_stats() owner to discuss_system;
revoke all on function update_channel_stats() from public;
comment on function update_channel_stats() is 'Keeps message_count, last_message_at and updated_at of channels, one update per channel and statement.';

CREATE OR REPLACE FUNCTION public.update_member_count()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
  if tg_op = 'INSERT' then
    update channels c
    set member_count = c.member_count + s.members
    from (
      select a.channel_id, count(*)::int as members
      from added a
      where a.status = 'ACTIVE'
      group by a.channel_id
    ) as s
    where c.id = s.channel_id;
  elsif tg_op = 'UPDATE' then
    update channels c
    set member_count = greatest(0, c.member_count + (new.status = 'ACTIVE')::int - (old.status = 'ACTIVE')::int)
    where c.id = new.channel_id;
  else
    update channels c
    set member_count = greatest(0, c.member_count - s.members)
    from (
      select r.channel_id, count(*)::int as members
      from removed r
      where r.status = 'ACTIVE'
      group by r.channel_id
    ) as s
    where c.id = s.channel_id;
  end if;
  return null;
end
$function$;
alter function update_member_count() owner to discuss_system;
revoke all on function update_member_count() from public;
comment on function update_member_count() is 'Keeps channels.member_count: members with status ACTIVE, counted at every change of status, rejoining included.';

CREATE OR REPLACE FUNCTION public.update_unread_counts()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
$function$;
alter function update_unread_counts() owner to discuss_system;
revoke all on function update_unread_counts() from public;
comment on function update_unread_counts() is 'Keeps deleted_posts, from which unread numbers are derived, and tells settle_unread() that they changed.';

CREATE OR REPLACE FUNCTION public.user_status_texts(_user_ids bigint[])
 RETURNS TABLE(user_id bigint, status_text text, expires_at bigint)
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
  return query
  select s.user_id, s.status_text::text, s.expires_at
  from user_statuses s
  where s.tenant_id = app_tenant_id()
    and s.user_id = any(_user_ids)
    and s.status_text != ''
    and (s.expires_at is null or s.expires_at > now_ms());
end
$function$;
alter function user_status_texts(bigint[]) owner to discuss_system;
revoke all on function user_status_texts(bigint[]) from public;
grant execute on function user_status_texts(bigint[]) to discuss_service;
comment on function user_status_texts(bigint[]) is 'Texts that these users of the caller''s tenant chose and that have not ended. Not their statuses.';

CREATE OR REPLACE FUNCTION public.wants_activity(_is_muted boolean, _notification_level text, _is_mention boolean)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
RETURN ((NOT _is_muted) AND ((_notification_level = 'ALL'::text) OR ((_notification_level = 'MENTIONS'::text) AND _is_mention)));
comment on function wants_activity(boolean,text,boolean) is 'Whether a member with these settings is told: NONE and muted of nothing, MENTIONS of mentions alone.';

CREATE OR REPLACE FUNCTION public.with_reaction(_reactions jsonb, _emoji text, _user_id bigint, _added boolean)
 RETURNS jsonb
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN (NOT _added) THEN (SELECT COALESCE(jsonb_agg(r.reaction ORDER BY r.nth), '[]'::jsonb) AS "coalesce" FROM (SELECT t.nth, CASE WHEN ((t.reaction ->> 'emoji'::text) = with_reaction._emoji) THEN jsonb_build_object('emoji', with_reaction._emoji, 'users', (SELECT COALESCE(jsonb_agg(u.id ORDER BY u.place), '[]'::jsonb) AS "coalesce" FROM jsonb_array_elements((t.reaction -> 'users'::text)) WITH ORDINALITY u(id, place) WHERE (u.id <> to_jsonb(with_reaction._user_id)))) ELSE t.reaction END AS reaction FROM jsonb_array_elements(with_reaction._reactions) WITH ORDINALITY t(reaction, nth)) r WHERE ((r.reaction -> 'users'::text) <> '[]'::jsonb)) WHEN (NOT (_reactions @> jsonb_build_array(jsonb_build_object('emoji', _emoji)))) THEN (_reactions || jsonb_build_array(jsonb_build_object('emoji', _emoji, 'users', jsonb_build_array(_user_id)))) ELSE (SELECT jsonb_agg(CASE WHEN (((t.reaction ->> 'emoji'::text) = with_reaction._emoji) AND (NOT ((t.reaction -> 'users'::text) @> to_jsonb(with_reaction._user_id)))) THEN jsonb_build_object('emoji', with_reaction._emoji, 'users', ((t.reaction -> 'users'::text) || to_jsonb(with_reaction._user_id))) ELSE t.reaction END ORDER BY t.nth) AS jsonb_agg FROM jsonb_array_elements(with_reaction._reactions) WITH ORDINALITY t(reaction, nth)) END;
comment on function with_reaction(jsonb,text,bigint,boolean) is 'Reactions [{"emoji": "...", "users": [1, 2]}] with one user''s added or taken away; the same when there is nothing to change. Emoji and users stay in the order in which they came.';

CREATE OR REPLACE FUNCTION public.wrong_channels(_ids bigint[])
 RETURNS TABLE(part text, checked bigint, wrong bigint[])
 LANGUAGE sql
 STABLE
 SET search_path TO 'public', 'pg_temp'
BEGIN ATOMIC
 SELECT 'channels'::text,
     count(*) AS count,
     array_agg(t.channel_id) FILTER (WHERE ((((((t.member_count IS DISTINCT FROM t.members) OR (t.message_count IS DISTINCT FROM t.messages)) OR (t.last_message_at IS DISTINCT FROM t.last_at)) OR (t.last_message_id IS DISTINCT FROM t.last_id)) OR (t.post_seq IS DISTINCT FROM t.last_post)) OR (t.event_seq IS DISTINCT FROM t.last_event))) AS array_agg
    FROM channel_truth(wrong_channels._ids) t(channel_id, member_count, members, message_count, messages, last_message_at, last_at, last_message_id, last_id, post_seq, last_post, event_seq, last_event)
 UNION ALL
  SELECT 'deleted_posts'::text,
     count(*) AS count,
     array_agg(DISTINCT t.channel_id) FILTER (WHERE (t.is_noted <> t.is_due)) AS array_agg
    FROM deleted_post_truth(wrong_channels._ids) t(channel_id, post_seq, tenant_id, sender_id, is_noted, is_due)
 UNION ALL
  SELECT 'channel_members'::text,
     count(*) AS count,
     array_agg(DISTINCT t.channel_id) FILTER (WHERE ((t.read_post_seq <> t.marker) OR (t.own_posts <> t.own) OR (t.own_posts_read <> t.own_read) OR (t.unread_count <> t.unread))) AS array_agg
    FROM member_truth(wrong_channels._ids) t(channel_id, id, read_post_seq, marker, own_posts, own, own_posts_read, own_read, unread_count, unread)
 UNION ALL
  SELECT 'thread_followers'::text,
     count(*) AS count,
     array_agg(DISTINCT t.channel_id) FILTER (WHERE ((t.replies IS DISTINCT FROM t.counted) OR (t.first_reply_id IS DISTINCT FROM t.first_id))) AS array_agg
    FROM follower_truth(wrong_channels._ids) t(channel_id, tenant_id, root_id, user_id, replies, counted, first_reply_id, first_id)
 UNION ALL
  SELECT 'messages'::text,
     count(*) AS count,
     array_agg(DISTINCT t.channel_id) FILTER (WHERE ((((t.thread_count IS DISTINCT FROM t.replies) OR (t.thread_user_count IS DISTINCT FROM t.users)) OR (t.thread_users IS DISTINCT FROM t.first_users)) OR (t.last_reply_at IS DISTINCT FROM t.last_at))) AS array_agg
    FROM thread_truth(wrong_channels._ids) t(channel_id, id, thread_count, replies, thread_user_count, users, thread_users, first_users, last_reply_at, last_at);
END;
alter function wrong_channels(bigint[]) owner to discuss_system;
revoke all on function wrong_channels(bigint[]) from public;
comment on function wrong_channels(bigint[]) is 'For each table how many rows were compared with a count by hand, and the channels in which any is wrong.';

-- Schema

grant usage on schema public to discuss_service;

grant create, usage on schema public to discuss_system;
