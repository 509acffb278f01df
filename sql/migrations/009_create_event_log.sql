create table channel_events (
  id bigserial not null,
  channel_id bigint not null,
  seq bigint not null,
  tenant_id bigint not null,
  xid xid8 not null default pg_current_xact_id(),
  kind text not null,
  message_id bigint,
  actor_id bigint,
  created_at bigint not null,
  payload bytea not null,

  -- seq alone is unique by the channel's row lock; created_at is here as the partition column.
  primary key (channel_id, seq, created_at)
) partition by range (created_at);

comment on table channel_events is
  'The log of every channel: each change, in order, as the very bytes subscribers get. Kept 7 days, partitioned by day (channel_events_20261122, UTC), see ensure_partitions() and drop_old_event_partitions(). No foreign key, as the last events of a deleted channel must still reach its members.';
comment on column channel_events.id is 'Order of insertion over all channels; only within one xid does it say anything.';
comment on column channel_events.channel_id is 'Channel that changed.';
comment on column channel_events.seq is 'Number of the event in its channel, 1..N without gaps in order of commit.';
comment on column channel_events.tenant_id is 'Tenant of the channel.';
comment on column channel_events.xid is 'Transaction that wrote it. Below pg_snapshot_xmin() nothing can appear any more, so (xid, id) is a cursor without gaps.';
comment on column channel_events.kind is 'What happened: MESSAGE_CREATED, MEMBERS_JOINED, ...';
comment on column channel_events.message_id is 'Message it is about, if any.';
comment on column channel_events.actor_id is 'User who did it, if any.';
comment on column channel_events.created_at is 'When it happened, epoch ms.';
comment on column channel_events.payload is 'The encoded protobuf event.';

create table channel_events_default partition of channel_events default;
comment on table channel_events_default is
  'Catches an event whose day has no partition yet; ensure_partitions() moves it on.';
alter table channel_events_default enable row level security;

-- The feed over all channels: the relay's catching up, StreamTenantEvents.
create index idx_channel_events_feed
  on channel_events (xid, id);

create table idempotency_keys (
  tenant_id bigint not null,
  user_id bigint not null,
  request_id uuid not null,
  method text not null,
  payload_hash bytea not null,
  channel_id bigint,
  resource_id bigint,
  created_at bigint not null,

  primary key (tenant_id, user_id, request_id)
);

comment on table idempotency_keys is
  'Requests already answered, so that a retry gets the first answer. Kept 24 hours at least.';
comment on column idempotency_keys.tenant_id is 'Tenant of the caller.';
comment on column idempotency_keys.user_id is 'User who asked.';
comment on column idempotency_keys.request_id is 'Id the client gave the request; unique per user.';
comment on column idempotency_keys.method is 'RPC that was called.';
comment on column idempotency_keys.payload_hash is 'Hash of the request, to tell a retry from another request with the same id.';
comment on column idempotency_keys.channel_id is 'Channel the answer is about.';
comment on column idempotency_keys.resource_id is 'What the request made: message, channel, ...';
comment on column idempotency_keys.created_at is 'When it was first asked, epoch ms.';

-- The oldest keys: prune_idempotency_keys().
create index idx_idempotency_keys_created
  on idempotency_keys (created_at);

create function prune_idempotency_keys(p_before_ms bigint, p_limit int) returns int
language plpgsql security definer
set search_path = public, pg_temp
as $$
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
$$;
comment on function prune_idempotency_keys(bigint, int) is
  'Removes up to p_limit keys made before p_before_ms and returns how many; call it until it returns less than p_limit.';
