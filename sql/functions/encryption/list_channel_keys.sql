create or replace function list_channel_keys(
  _phase text, _tenant_id bigint, _channel_id bigint, _key_id text, _before bigint, _after bigint, _limit int
)
returns table (id bigint, tenant_id bigint, channel_id bigint, key_id text, wrapped_key bytea, current_key_id bigint)
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  select k.id, k.tenant_id, k.channel_id, k.key_id, k.wrapped_key, c.data_key_id
  from channel_keys k
  join channels c on c.id = k.channel_id
  where k.id > _after
    and (_tenant_id = 0 or k.tenant_id = _tenant_id)
    and (_channel_id = 0 or k.channel_id = _channel_id)
    and case _phase
      when 'WRAP' then k.key_id != _key_id
      when 'REPLACE' then k.retired_at is null and k.created_at < _before
      else k.retired_at is not null and k.reencrypted_at is null
    end
  order by k.id
  limit _limit;
end;
comment on function list_channel_keys(text, bigint, bigint, text, bigint, bigint, int) is
  'Data keys that a phase of a rotation concerns, after an id: those of WRAP are encrypted with another key than _key_id, those of REPLACE were created before _before, those of ENCRYPT have been replaced.';

alter function list_channel_keys(text, bigint, bigint, text, bigint, bigint, int) owner to discuss_system;
revoke all on function list_channel_keys(text, bigint, bigint, text, bigint, bigint, int) from public;
grant execute on function list_channel_keys(text, bigint, bigint, text, bigint, bigint, int) to discuss_service;
