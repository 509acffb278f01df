-- Presence is kept in Redis. The status that a user sets is kept here, and copied to Redis while the user is online.
create table user_statuses (
  tenant_id bigint not null,
  user_id bigint not null,
  status varchar(50) not null,
  status_text varchar(100) not null default '',
  expires_at bigint,
  updated_at bigint not null,

  primary key (tenant_id, user_id),

  constraint valid_user_status check (status in ('ONLINE', 'AWAY', 'BUSY', 'OFFLINE'))
);

comment on table user_statuses is
  'Status overrides and texts that users set; no row for a user who never set one. Other users see the text, but never this status: they see the presence that it results in.';
comment on column user_statuses.tenant_id is 'Tenant of the user.';
comment on column user_statuses.user_id is 'The user.';
comment on column user_statuses.status is 'ONLINE: as the devices report; AWAY; BUSY; OFFLINE: invisible.';
comment on column user_statuses.status_text is 'Text beside the status; empty for none.';
comment on column user_statuses.expires_at is 'When status and text expire, epoch ms; null for never.';
comment on column user_statuses.updated_at is
  'When it was set, epoch ms. Increases with every change, so that a late copy of an older value is recognized.';
