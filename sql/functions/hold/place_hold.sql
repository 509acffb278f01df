create or replace function place_hold(
  _tenant_id bigint,
  _channel_id bigint,
  _user_id bigint,
  _entity_type text,
  _entity_id bigint,
  _reason text,
  _actor_id bigint
) returns legal_holds
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
  _hold legal_holds;
begin
  -- Waits for the batch of a purge that is running; the next one sees the hold.
  perform pg_advisory_xact_lock(hashtext('discuss.holds'));
  insert into legal_holds
    (tenant_id, channel_id, user_id, entity_type, entity_id, reason, placed_at, placed_by)
  values
    (_tenant_id, _channel_id, _user_id, _entity_type, _entity_id, _reason, now_ms(), _actor_id)
  on conflict do nothing
  returning * into _hold;
  if found then
    return _hold;
  end if;
  select h.*
  into _hold
  from legal_holds h
  where h.tenant_id = _tenant_id
    and h.released_at is null
    and h.channel_id is not distinct from _channel_id
    and h.user_id is not distinct from _user_id
    and h.entity_type is not distinct from _entity_type
    and h.entity_id is not distinct from _entity_id;
  return _hold;
end
$$;
comment on function place_hold(bigint, bigint, bigint, text, bigint, text, bigint) is
  'Places a legal hold on a channel, a user or an entity of a tenant, or returns the active one. For operators.';

alter function place_hold(bigint, bigint, bigint, text, bigint, text, bigint) owner to discuss_system;
revoke all on function place_hold(bigint, bigint, bigint, text, bigint, text, bigint) from public;
grant execute on function place_hold(bigint, bigint, bigint, text, bigint, text, bigint) to discuss_service;
