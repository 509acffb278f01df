create table legal_holds (
  id bigserial primary key,
  tenant_id bigint not null,
  channel_id bigint,
  user_id bigint,
  entity_type varchar(100),
  entity_id bigint,
  reason text not null,
  placed_at bigint not null,
  placed_by bigint not null,
  released_at bigint,
  released_by bigint,

  constraint hold_has_subject check (
    num_nonnulls(channel_id, user_id, entity_id) = 1
    and (entity_type is null) = (entity_id is null)
  )
);

comment on table legal_holds is
  'Legal holds: while one is active, retention removes and archives nothing of its subject. A released hold remains as a record.';
comment on column legal_holds.id is 'Id of the hold.';
comment on column legal_holds.tenant_id is 'Tenant of the subject.';
comment on column legal_holds.channel_id is 'Subject: a channel.';
comment on column legal_holds.user_id is 'Subject: a user, in all channels.';
comment on column legal_holds.entity_type is 'Subject: an entity, with its topic channel and its activities.';
comment on column legal_holds.entity_id is 'Id of that entity.';
comment on column legal_holds.reason is 'Why the hold was placed, such as the number of a case.';
comment on column legal_holds.placed_at is 'When it was placed, epoch ms.';
comment on column legal_holds.placed_by is 'Id of the operator who placed it; 0 if the token has none.';
comment on column legal_holds.released_at is 'When it was released, epoch ms; null while it is active.';
comment on column legal_holds.released_by is 'Id of the operator who released it.';

-- One active hold per subject: place_hold(), is_held().
create unique index idx_legal_holds_active
  on legal_holds (tenant_id, coalesce(channel_id, 0), coalesce(user_id, 0), coalesce(entity_type, ''), coalesce(entity_id, 0))
  where released_at is null;

-- Holds of a tenant, newest first: list_holds().
create index idx_legal_holds_tenant
  on legal_holds (tenant_id, id desc);

create table audit_events (
  tenant_id bigint not null,
  seq bigint not null,
  occurred_at bigint not null,
  actor_kind varchar(20) not null,
  actor_id bigint not null,
  action varchar(100) not null,
  details jsonb not null,
  previous_hash bytea not null,
  hash bytea not null,

  primary key (tenant_id, seq)
);

comment on table audit_events is
  'The audit log of each tenant; tenant 0: calls of operators that concern all. Append-only, and chained by hash: see append_audit_event() and verify_audit_events().';
comment on column audit_events.tenant_id is 'Tenant concerned; 0: none or all.';
comment on column audit_events.seq is 'Number of the event in the log of its tenant, 1..N without gaps.';
comment on column audit_events.occurred_at is 'When it happened, epoch ms.';
comment on column audit_events.actor_kind is 'user, service, operator or job.';
comment on column audit_events.actor_id is 'Id of the user or operator; 0 if there is none.';
comment on column audit_events.action is 'What was done, such as AdminService/PlaceHold or ROLE_CHANGED.';
comment on column audit_events.details is 'Ids and numbers of what was done; never content.';
comment on column audit_events.previous_hash is 'hash of the event before; empty for the first.';
comment on column audit_events.hash is 'SHA-256 over previous_hash and all other columns, see audit_hash().';

create table audit_heads (
  tenant_id bigint primary key,
  seq bigint not null,
  hash bytea not null
);

comment on table audit_heads is
  'The last event of each audit log. Its row orders the writers, and shows when the last events of a log were removed.';
comment on column audit_heads.tenant_id is 'Tenant of the log.';
comment on column audit_heads.seq is 'seq of its last event.';
comment on column audit_heads.hash is 'hash of its last event.';

\ir ../functions/audit/reject_audit_change.sql

create trigger trigger_reject_audit_change
before update or delete or truncate on audit_events
for each statement
execute function reject_audit_change();
comment on trigger trigger_reject_audit_change on audit_events is 'Keeps the log append-only, for its owner, too.';

do $$
declare
  _table text;
begin
  foreach _table in array array['legal_holds', 'audit_events', 'audit_heads'] loop
    execute format('alter table %I enable row level security', _table);
    execute format('alter table %I force row level security', _table);
    execute format('create policy system_policy on %I to discuss_system using (true) with check (true)', _table);
    -- There is no policy for the service, so it sees no rows.
    execute format('grant select on %I to discuss_service', _table);
  end loop;
end
$$;
grant select, insert, update on legal_holds, audit_heads to discuss_system;
grant select, insert on audit_events to discuss_system;
grant usage on sequence legal_holds_id_seq to discuss_system;
