create table channel_keys (
  id bigserial primary key,

  tenant_id bigint not null,
  channel_id bigint not null references channels(id) on delete cascade,
  key_id varchar(64) not null,
  wrapped_key bytea not null,
  created_at bigint not null,
  retired_at bigint,
  reencrypted_at bigint
);

comment on table channel_keys is
  'Data keys of encrypted channels, each encrypted with a key that only the configuration of the service has (ENCRYPTION_KEYS). Deleted with the channel, which makes its messages in backups unreadable once the backups of this table are gone.';
comment on column channel_keys.id is 'Id of the key, part of everything that is encrypted with it.';
comment on column channel_keys.tenant_id is 'Tenant of the channel.';
comment on column channel_keys.channel_id is 'Channel of the key.';
comment on column channel_keys.key_id is 'Name of the key in the configuration that encrypts it.';
comment on column channel_keys.wrapped_key is 'The encrypted key: nonce, ciphertext and tag of AES-256-GCM.';
comment on column channel_keys.created_at is 'When it was created, epoch ms.';
comment on column channel_keys.retired_at is 'When another key of the channel replaced it, epoch ms; null for the current one.';
comment on column channel_keys.reencrypted_at is
  'When nothing was left that is encrypted with it, epoch ms. It is kept for the time in which a call may be repeated.';

-- The cascade from channels, and the keys to replace.
create index idx_channel_keys_channel
  on channel_keys (channel_id);

alter table channel_keys enable row level security;
alter table channel_keys force row level security;
create policy system_policy on channel_keys to discuss_system using (true) with check (true);
-- There is no policy for the service, so it sees no rows.
grant select on channel_keys to discuss_service;
grant select, insert, update, delete on channel_keys to discuss_system;
grant usage on sequence channel_keys_id_seq to discuss_service, discuss_system;

create table key_rotations (
  id bigserial primary key,

  tenant_id bigint not null default 0,
  channel_id bigint not null default 0,
  key_id varchar(64) not null,
  replaces_keys boolean not null,
  started_at bigint not null,
  finished_at bigint,
  lease_until bigint not null default 0,
  attempt int not null default 0,
  instance varchar(100) not null default '',
  phase varchar(20) not null default 'WRAP',
  key_cursor bigint not null default 0,
  row_kind varchar(20) not null default 'messages',
  row_cursor bigint not null default 0,
  rewrapped bigint not null default 0,
  replaced bigint not null default 0,
  reencrypted bigint not null default 0,
  failed bigint not null default 0,

  constraint valid_phase check (phase in ('WRAP', 'REPLACE', 'ENCRYPT'))
);

comment on table key_rotations is
  'Rotations of keys, one at a time over all instances. One whose instance ended is continued by another, from its cursors.';
comment on column key_rotations.id is 'Id of the rotation.';
comment on column key_rotations.tenant_id is 'Tenant whose channels it concerns; 0: all.';
comment on column key_rotations.channel_id is 'Channel that it concerns; 0: all.';
comment on column key_rotations.key_id is
  'Name of the key with which data keys are encrypted afterwards. Only instances whose first key it is work on the rotation.';
comment on column key_rotations.replaces_keys is
  'Whether it also replaces the data keys, and encrypts again what was encrypted with them.';
comment on column key_rotations.started_at is 'When it was requested, epoch ms. Data keys created later are not replaced.';
comment on column key_rotations.finished_at is 'When it ended, epoch ms; null while it runs.';
comment on column key_rotations.lease_until is
  'Until when its instance must report progress, epoch ms; then another one may continue it.';
comment on column key_rotations.attempt is 'Number of instances that have worked on it. Only the last one may continue.';
comment on column key_rotations.instance is 'Instance that works, or worked, on it.';
comment on column key_rotations.phase is
  'WRAP: encrypting data keys with another key; REPLACE: replacing data keys; ENCRYPT: encrypting content with new data keys.';
comment on column key_rotations.key_cursor is 'Last data key that was completed in this phase.';
comment on column key_rotations.row_kind is 'Table of the rows that are encrypted again: messages, message_edits, attachments or channel_events.';
comment on column key_rotations.row_cursor is 'Last of these rows that was read: its message, file or event.';
comment on column key_rotations.rewrapped is 'Data keys that were encrypted with the key of the rotation.';
comment on column key_rotations.replaced is 'Data keys that were replaced.';
comment on column key_rotations.reencrypted is 'Rows that were encrypted again.';
comment on column key_rotations.failed is 'Data keys and rows that could not be decrypted, and remain as they are.';

-- The rotation in progress.
create index idx_key_rotations_unfinished
  on key_rotations (tenant_id, id)
  where finished_at is null;

alter table key_rotations enable row level security;
alter table key_rotations force row level security;
create policy system_policy on key_rotations to discuss_system using (true) with check (true);
grant select on key_rotations to discuss_service;
grant select, insert, update, delete on key_rotations to discuss_system;
grant usage on sequence key_rotations_id_seq to discuss_system;
