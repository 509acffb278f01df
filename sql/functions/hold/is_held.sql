create or replace function is_held(
  _tenant_id bigint,
  _channel_id bigint,
  _user_ids bigint[],
  _entity_type text default null,
  _entity_id bigint default null
) returns boolean
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  select exists (
    select
    from legal_holds h
    where h.tenant_id = _tenant_id
      and h.released_at is null
      and (
        h.channel_id = _channel_id
        or h.user_id = any (_user_ids)
        or (h.entity_type = _entity_type and h.entity_id = _entity_id)
        or exists (
          select
          from channels c
          where c.id = _channel_id
            and c.entity_type = h.entity_type
            and c.entity_id = h.entity_id
        )
        or exists (
          select
          from channel_entity_aliases a
          where a.tenant_id = _tenant_id
            and a.channel_id = _channel_id
            and a.entity_type = h.entity_type
            and a.entity_id = h.entity_id
        )
      )
  );
end;
comment on function is_held(bigint, bigint, bigint[], text, bigint) is
  'Whether a legal hold is active on the channel, on one of the users, on the entity, or on an entity whose discussion is in the channel.';

alter function is_held(bigint, bigint, bigint[], text, bigint) owner to discuss_system;
revoke all on function is_held(bigint, bigint, bigint[], text, bigint) from public;
