-- Presence lives in Redis; what a user chose to be shown as is kept here, and copied there while the user is online.
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
  'What users chose to be shown as; no row for those who never chose. Others see the text, and of the status what it makes of their presence.';
comment on column user_statuses.tenant_id is 'Tenant of the user.';
comment on column user_statuses.user_id is 'The user.';
comment on column user_statuses.status is 'ONLINE: as the devices say; AWAY; BUSY; OFFLINE: not to be seen.';
comment on column user_statuses.status_text is 'Text beside the status; empty: none.';
comment on column user_statuses.expires_at is 'When status and text end, epoch ms; null: never.';
comment on column user_statuses.updated_at is 'When it was chosen, epoch ms; grows with every change, so that a late copy of an older choice is known as such.';
