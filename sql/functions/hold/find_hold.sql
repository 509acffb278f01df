create or replace function find_hold(
  _tenant_id bigint,
  _channel_ids bigint[],
  _user_ids bigint[],
  _entity_type text default null,
  _entity_id bigint default null
) returns bigint
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  select min(h.id)
  from legal_holds h
  where h.tenant_id = _tenant_id
    and h.released_at is null
    and (
      h.channel_id = any (_channel_ids)
      or h.user_id = any (_user_ids)
      or (h.entity_type = _entity_type and h.entity_id = _entity_id)
      or exists (
        select
        from channels c
        where c.id = any (_channel_ids)
          and c.entity_type = h.entity_type
          and c.entity_id = h.entity_id
      )
      or exists (
        select
        from channel_entity_aliases a
        where a.tenant_id = _tenant_id
          and a.channel_id = any (_channel_ids)
          and a.entity_type = h.entity_type
          and a.entity_id = h.entity_id
      )
    );
end;
comment on function find_hold(bigint, bigint[], bigint[], text, bigint) is
  'The oldest active legal hold on one of the channels or users, on the entity, or on an entity whose discussion is in one of the channels; null if there is none.';

alter function find_hold(bigint, bigint[], bigint[], text, bigint) owner to discuss_system;
revoke all on function find_hold(bigint, bigint[], bigint[], text, bigint) from public;
