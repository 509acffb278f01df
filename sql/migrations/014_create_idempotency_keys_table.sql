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
  'Completed requests, so that a retry gets the first response. Kept for at least 24 hours.';
comment on column idempotency_keys.tenant_id is 'Tenant of the caller.';
comment on column idempotency_keys.user_id is 'User who sent the request.';
comment on column idempotency_keys.request_id is 'Id that the client gave the request; unique per user.';
comment on column idempotency_keys.method is 'RPC of the request.';
comment on column idempotency_keys.payload_hash is
  'Hash of the request, to distinguish a retry from another request with the same id.';
comment on column idempotency_keys.channel_id is 'Channel of the result.';
comment on column idempotency_keys.resource_id is 'Id of the created resource: message, channel, ...';
comment on column idempotency_keys.created_at is 'When the request first arrived, epoch ms.';

-- Keys by age: prune_idempotency_keys().
create index idx_idempotency_keys_created
  on idempotency_keys (created_at);
