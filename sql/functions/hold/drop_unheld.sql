create or replace function drop_unheld(_tenant_id bigint) returns void
language plpgsql
set search_path = public, pg_temp
as $$
begin
  with dropped as (
    delete from held_contents c
    where c.tenant_id = _tenant_id
      and not is_held(c.tenant_id, c.channel_id, array[c.user_id])
    returning c.data ->> 's3Key' as s3_key
  )
  update object_deletions d
  set due_at = now_ms()
  from dropped x
  where d.s3_key collate "C" = x.s3_key;
  delete from held_events e
  where e.tenant_id = _tenant_id
    and not is_held(e.tenant_id, e.channel_id, array[e.actor_id]);
  -- The next purge decides again.
  update messages m
  set is_kept = false
  where m.tenant_id = _tenant_id
    and m.is_kept;
  delete from kept_partitions;
end
$$;
comment on function drop_unheld(bigint) is
  'Removes what only a legal hold has kept that was released, and lets purges decide again about the messages and activities of the tenant.';

alter function drop_unheld(bigint) owner to discuss_system;
revoke all on function drop_unheld(bigint) from public;
