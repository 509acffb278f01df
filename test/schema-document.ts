// The objects of the customer's document as PostgreSQL prints them. Where the schema departs from the document on purpose
// (docs/schema-notes.md), the departure is listed.

/** Columns as "name type default". */
export const documentedColumns: Readonly<Record<string, readonly string[]>> = {
  channels: [
    "id bigint nextval('channels_id_seq'::regclass)",
    'tenant_id bigint',
    'created_by bigint',
    'name character varying(255)',
    'description text',
    'type character varying(50)',
    'entity_type character varying(100)',
    'entity_id bigint',
    'is_private boolean false',
    'is_archived boolean false',
    'member_count integer 0',
    'message_count integer 0',
    'last_message_at bigint',
    'metadata jsonb',
    'created_at bigint',
    'updated_at bigint',
  ],
  messages: [
    "id bigint nextval('messages_id_seq'::regclass)",
    'channel_id bigint',
    'sender_id bigint',
    'tenant_id bigint',
    'content text',
    "message_type character varying(50) 'TEXT'::character varying",
    "mentions bigint[] '{}'::bigint[]",
    'parent_id bigint',
    'thread_count integer 0',
    'is_edited boolean false',
    'edited_at bigint',
    'is_deleted boolean false',
    'deleted_at bigint',
    'deleted_by bigint',
    "reactions jsonb '[]'::jsonb",
    "read_by bigint[] '{}'::bigint[]",
    'metadata jsonb',
    'created_at bigint',
    'updated_at bigint',
  ],
  channel_members: [
    "id bigint nextval('channel_members_id_seq'::regclass)",
    'channel_id bigint',
    'user_id bigint',
    'tenant_id bigint',
    "role character varying(50) 'MEMBER'::character varying",
    "status character varying(50) 'ACTIVE'::character varying",
    'joined_at bigint',
    'left_at bigint',
    'removed_by bigint',
    'last_read_msg_id bigint',
    'unread_count integer 0',
    'is_muted boolean false',
    'is_pinned boolean false',
    "notification_level character varying(50) 'ALL'::character varying",
    'metadata jsonb',
    'created_at bigint',
    'updated_at bigint',
  ],
  attachments: [
    "id bigint nextval('attachments_id_seq'::regclass)",
    'message_id bigint',
    'channel_id bigint',
    'tenant_id bigint',
    'file_name character varying(255)',
    'file_size bigint',
    'file_type character varying(100)',
    'file_extension character varying(20)',
    's3_bucket character varying(255)',
    's3_key character varying(500)',
    's3_url text',
    'thumbnail_url text',
    'width integer',
    'height integer',
    "scan_status character varying(50) 'PENDING'::character varying",
    'scanned_at bigint',
    'metadata jsonb',
    'created_at bigint',
    'updated_at bigint',
  ],
  activity_feed: [
    "id bigint nextval('activity_feed_id_seq'::regclass)",
    'tenant_id bigint',
    'user_id bigint',
    'action_type character varying(100)',
    'actor_id bigint',
    'entity_type character varying(100)',
    'entity_id bigint',
    'channel_id bigint',
    'message_id bigint',
    'description text',
    'title character varying(255)',
    'is_read boolean false',
    'read_at bigint',
    'metadata jsonb',
    'timestamp bigint',
    'created_at bigint',
  ],
};

/** Constraints as "table.name" and their definitions; not those that refer to messages(id), whose partitions are replaced. */
export const documentedConstraints: Readonly<Record<string, string>> = {
  'channels.channels_pkey': 'PRIMARY KEY (id)',
  'channels.valid_channel_type': oneOf('type', 'DIRECT', 'GROUP', 'TOPIC'),
  'channels.topic_has_entity':
    "CHECK (((((type)::text = 'TOPIC'::text) AND (entity_type IS NOT NULL) AND (entity_id IS NOT NULL)) OR ((type)::text <> 'TOPIC'::text)))",
  'messages.messages_pkey': 'PRIMARY KEY (id)',
  'messages.valid_message_type': oneOf('message_type', 'TEXT', 'IMAGE', 'FILE', 'SYSTEM', 'CODE', 'POLL'),
  'messages.content_not_empty':
    "CHECK (((char_length(TRIM(BOTH FROM content)) > 0) OR ((message_type)::text <> 'TEXT'::text) OR (encrypted_content IS NOT NULL)))",
  'channel_members.channel_members_pkey': 'PRIMARY KEY (id)',
  'channel_members.channel_members_channel_id_fkey':
    'FOREIGN KEY (channel_id) REFERENCES channels(id) ON DELETE CASCADE',
  'channel_members.channel_members_channel_id_user_id_key': 'UNIQUE (channel_id, user_id)',
  'channel_members.valid_role': oneOf('role', 'OWNER', 'ADMIN', 'MEMBER', 'GUEST'),
  'channel_members.valid_status': oneOf('status', 'ACTIVE', 'MUTED', 'LEFT', 'REMOVED'),
  'channel_members.valid_notification': oneOf('notification_level', 'ALL', 'MENTIONS', 'NONE'),
  'attachments.attachments_pkey': 'PRIMARY KEY (id)',
  'attachments.valid_scan_status': oneOf('scan_status', 'PENDING', 'CLEAN', 'INFECTED', 'ERROR'),
  'attachments.positive_file_size': 'CHECK ((file_size > 0))',
  'activity_feed.activity_feed_pkey': 'PRIMARY KEY (id, "timestamp")',
  'activity_feed.activity_feed_channel_id_fkey':
    'FOREIGN KEY (channel_id) REFERENCES channels(id) ON DELETE CASCADE',
  'activity_feed.has_entity_or_channel':
    'CHECK ((((entity_type IS NOT NULL) AND (entity_id IS NOT NULL)) OR (channel_id IS NOT NULL)))',
};

/** Indexes by name; the table follows the verb. */
export const documentedIndexes: Readonly<Record<string, string>> = {
  // Extended by the id.
  idx_channels_tenant_type: 'CREATE channels USING btree (tenant_id, type, is_archived, id)',
  // Not idx_channels_entity, idx_channels_created_by and idx_channels_last_message, which every message would write.
  // Without deleted channels.
  idx_direct_channel_unique:
    "CREATE UNIQUE channels USING btree (tenant_id, LEAST(created_by, entity_id), GREATEST(created_by, entity_id)) WHERE (((type)::text = 'DIRECT'::text) AND (deleted_at IS NULL))",
  idx_messages_channel_time:
    'CREATE messages USING btree (channel_id, created_at DESC) WHERE (is_deleted = false)',
  // On the table of the words, extended by the scope of the message.
  idx_messages_search: 'CREATE message_words USING gin (search_vector, scope)',
  idx_channel_members_user:
    "CREATE channel_members USING btree (user_id, tenant_id, is_pinned DESC, updated_at DESC) WHERE ((status)::text = 'ACTIVE'::text)",
  idx_channel_members_channel:
    "CREATE channel_members USING btree (channel_id, status) WHERE ((status)::text = 'ACTIVE'::text)",
  // Not idx_channel_members_unread, which every stored unread count would write.
  idx_channel_members_role:
    "CREATE channel_members USING btree (channel_id, role) WHERE ((status)::text = 'ACTIVE'::text)",
  idx_attachments_message: 'CREATE attachments USING btree (message_id)',
  idx_attachments_channel: 'CREATE attachments USING btree (channel_id, created_at DESC)',
  idx_attachments_tenant_type: 'CREATE attachments USING btree (tenant_id, file_type, created_at DESC)',
  idx_attachments_scan:
    "CREATE attachments USING btree (scan_status) WHERE ((scan_status)::text = 'PENDING'::text)",
  idx_activity_feed_user_time: 'CREATE activity_feed USING btree (user_id, tenant_id, "timestamp" DESC)',
  idx_activity_feed_unread:
    'CREATE activity_feed USING btree (user_id, is_read, "timestamp" DESC) WHERE (is_read = false)',
  // Extended by the tenant and the id.
  idx_activity_feed_entity:
    'CREATE activity_feed USING btree (tenant_id, entity_type, entity_id, "timestamp" DESC, id DESC) WHERE (entity_type IS NOT NULL)',
  idx_activity_feed_channel:
    'CREATE activity_feed USING btree (channel_id, "timestamp" DESC) WHERE (channel_id IS NOT NULL)',
};

export const documentedTriggers: readonly string[] = [
  'trigger_update_unread_counts on messages: update_unread_counts',
  'trigger_update_channel_stats on messages: update_channel_stats',
  'trigger_update_member_count on channel_members: update_member_count',
];

/** Columns of the views, in order. */
export const documentedViews: Readonly<Record<string, readonly string[]>> = {
  user_channels: [
    'user_id',
    'tenant_id',
    'channel_id',
    'name',
    'type',
    'entity_type',
    'entity_id',
    'last_message_at',
    'unread_count',
    'is_pinned',
    'is_muted',
    'role',
    'last_message_preview',
    'member_count',
  ],
  trending_channels: [
    'id',
    'tenant_id',
    'name',
    'type',
    'member_count',
    'message_count',
    'recent_message_count',
  ],
};

function oneOf(column: string, ...values: string[]): string {
  return `CHECK (((${column})::text = ANY ('{${values.join(',')}}'::text[])))`;
}
