create table channel_entity_aliases (
  tenant_id bigint not null,
  entity_type varchar(100) not null,
  entity_id bigint not null,
  channel_id bigint not null references channels(id) on delete cascade,
  created_at bigint not null,

  primary key (tenant_id, entity_type, entity_id)
);

comment on table channel_entity_aliases is
  'Former entities of TOPIC channels, when an entity was converted or merged, and the channel of their discussion. An entity with a channel of its own has no row, and a row that leads to a deleted channel is ignored. Written while the entity''s advisory lock is held, see MoveTopic.';
comment on column channel_entity_aliases.tenant_id is 'Tenant of the channel.';
comment on column channel_entity_aliases.entity_type is 'Type of the former entity.';
comment on column channel_entity_aliases.entity_id is 'Id of the former entity.';
comment on column channel_entity_aliases.channel_id is
  'Channel of the discussion now, always the last one of a chain of moves.';
comment on column channel_entity_aliases.created_at is 'When the discussion was moved away from the entity, epoch ms.';

-- Aliases of a channel that is merged into another, and the cascade from channels.
create index idx_channel_entity_aliases_channel
  on channel_entity_aliases (channel_id);
