create table channel_entity_aliases (
  tenant_id bigint not null,
  entity_type varchar(100) not null,
  entity_id bigint not null,
  channel_id bigint not null references channels(id) on delete cascade,
  created_at bigint not null,

  primary key (tenant_id, entity_type, entity_id)
);

comment on table channel_entity_aliases is
  'Earlier references of TOPIC channels: the entity whose discussion moved, and where it is now. An entity with a channel of its own needs none; one that leads to a deleted channel counts as none. Written with the reference''s advisory lock held, see MoveTopic.';
comment on column channel_entity_aliases.tenant_id is 'Tenant of the channel.';
comment on column channel_entity_aliases.entity_type is 'Kind of the entity.';
comment on column channel_entity_aliases.entity_id is 'The entity.';
comment on column channel_entity_aliases.channel_id is 'The channel its discussion is in now, always the last one of a chain.';
comment on column channel_entity_aliases.created_at is 'When the discussion left the entity, epoch ms.';

-- Aliases of a channel that is merged into another, and the cascade from channels.
create index idx_channel_entity_aliases_channel
  on channel_entity_aliases (channel_id);
