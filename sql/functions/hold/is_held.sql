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
  -- Purges ask this for each row, and most tenants have no hold.
  select exists (select from legal_holds h where h.tenant_id = _tenant_id and h.released_at is null)
    and find_hold(_tenant_id, array[_channel_id], _user_ids, _entity_type, _entity_id) is not null;
end;
comment on function is_held(bigint, bigint, bigint[], text, bigint) is
  'Whether a legal hold is active on the channel, on one of the users, on the entity, or on an entity whose discussion is in the channel.';

alter function is_held(bigint, bigint, bigint[], text, bigint) owner to discuss_system;
revoke all on function is_held(bigint, bigint, bigint[], text, bigint) from public;
