create or replace function erasure_hold(_tenant_id bigint, _user_id bigint, _channel_ids bigint[]) returns bigint
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  select min(h.id)
  from legal_holds h
  where h.tenant_id = _tenant_id
    and h.released_at is null
    and (
      h.user_id = _user_id
      or h.channel_id = any (_channel_ids)
      or exists (
        select
        from channels c
        where c.id = any (_channel_ids)
          and c.type = 'TOPIC'
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
comment on function erasure_hold(bigint, bigint, bigint[]) is
  'The oldest legal hold on a user, on one of these channels, or on an entity whose discussion is in one of them; null if there is none.';

alter function erasure_hold(bigint, bigint, bigint[]) owner to discuss_system;
revoke all on function erasure_hold(bigint, bigint, bigint[]) from public;
