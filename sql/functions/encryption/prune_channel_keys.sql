create or replace function prune_channel_keys(_age_ms bigint, _limit int) returns int
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
  _pruned int;
begin
  -- A name may have been encrypted while the key was replaced. The next rotation encrypts it again.
  update channel_keys k
  set reencrypted_at = null
  where k.reencrypted_at < now_ms() - _age_ms
    and exists (
      select
      from attachments a
      where a.channel_id = k.channel_id
        and substr(a.encrypted_name, 1, 9) = '\x01' || int8send(k.id)
    );
  delete from channel_keys k
  where k.id in (
    select o.id
    from channel_keys o
    where o.reencrypted_at < now_ms() - _age_ms
      -- A legal hold keeps copies that rotations do not change.
      and not exists (select from held_contents h where h.tenant_id = o.tenant_id and h.channel_id = o.channel_id)
      and not exists (select from held_events h where h.tenant_id = o.tenant_id and h.channel_id = o.channel_id)
    limit _limit
  );
  get diagnostics _pruned = row_count;
  return _pruned;
end
$$;
comment on function prune_channel_keys(bigint, int) is
  'Removes data keys with which nothing has been encrypted for this long, and returns how many. Until then, hashes of requests may need them. Also keeps those of channels of which a legal hold keeps removed content or events.';

alter function prune_channel_keys(bigint, int) owner to discuss_system;
revoke all on function prune_channel_keys(bigint, int) from public;
grant execute on function prune_channel_keys(bigint, int) to discuss_service;
