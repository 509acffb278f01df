create or replace function lock_for_erasure(_channel_id bigint, _user_id bigint, out is_deleted boolean, out hold_id bigint)
language plpgsql security definer
set search_path = public, pg_temp
as $$
begin
  -- As purges do: a hold that is placed now waits for this transaction.
  perform pg_advisory_xact_lock_shared(hashtext('discuss.holds'));
  select c.deleted_at is not null
  into is_deleted
  from channels c
  where c.id = _channel_id
    and c.tenant_id = app_tenant_id()
  for no key update;
  hold_id := find_hold(app_tenant_id(), array[_channel_id], array[_user_id]);
end
$$;
comment on function lock_for_erasure(bigint, bigint) is
  'Locks a channel of the caller''s tenant, also a deleted one, for the erasure of a user, and returns whether it is deleted (null: it does not exist) and a legal hold that prevents the erasure.';

alter function lock_for_erasure(bigint, bigint) owner to discuss_system;
revoke all on function lock_for_erasure(bigint, bigint) from public;
grant execute on function lock_for_erasure(bigint, bigint) to discuss_service;
