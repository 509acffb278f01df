create or replace function finish_channel_key(_id bigint) returns void
language sql security definer
set search_path = public, pg_temp
begin atomic
  update channel_keys k set reencrypted_at = now_ms() where k.id = _id and k.retired_at is not null;
end;
comment on function finish_channel_key(bigint) is 'Records that nothing is left that is encrypted with a data key.';

alter function finish_channel_key(bigint) owner to discuss_system;
revoke all on function finish_channel_key(bigint) from public;
grant execute on function finish_channel_key(bigint) to discuss_service;
