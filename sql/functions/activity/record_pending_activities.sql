create or replace function record_pending_activities(
  _limit int,
  out tenant_id bigint,
  out message_id bigint,
  out activities text,
  out error text,
  out is_parked boolean
)
language plpgsql security definer
set search_path = public, pg_temp
-- Another session may have locked the channel.
set lock_timeout = '500ms'
as $$
#variable_conflict use_column
declare
  -- With delays of 2, 4, 8 … s, a message is given up after four minutes.
  _max_attempts constant int := 8;
  _message record;
  _next_after bigint;
  _attempts int;
begin
  -- One portion at a time over all instances, so that mentions use at most one connection of PostgreSQL.
  if not pg_try_advisory_xact_lock(hashtext('record_pending_activities')) then
    return;
  end if;
  select o.*
  into _message
  from (
    select distinct on (p.tenant_id) p.*
    from pending_activities p
    where p.parked_at is null
      and p.due_at <= now_ms()
    order by p.tenant_id, p.message_id
  ) as o
  order by o.due_at, o.message_id
  limit 1;
  if not found then
    return;
  end if;

  tenant_id := _message.tenant_id;
  message_id := _message.message_id;
  is_parked := false;
  begin
    select r.activities, r.next_after
    into activities, _next_after
    from record_message(_message.message_id, _message.actor_name, _message.after_user_id, _limit) as r;
  exception when others then
    error := sqlstate || ' ' || sqlerrm;
    -- Errors of the database's state, such as a locked row or a full disk, are not of the message.
    if left(sqlstate, 2) in ('08', '25', '40', '53', '55', '57', '58') then
      update pending_activities p set due_at = now_ms() + 2000 where p.message_id = _message.message_id;
      return;
    end if;
    _attempts := _message.attempts + 1;
    is_parked := _attempts >= _max_attempts;
    update pending_activities p
    set attempts = _attempts,
        due_at = now_ms() + 1000 * (1 << _attempts),
        last_error = error,
        parked_at = case when is_parked then now_ms() end
    where p.message_id = _message.message_id;
    return;
  end;
  if _next_after is null then
    delete from pending_activities p where p.message_id = _message.message_id;
  else
    update pending_activities p
    set after_user_id = _next_after,
        attempts = 0,
        due_at = now_ms()
    where p.message_id = _message.message_id;
  end if;
end
$$;
comment on function record_pending_activities(int) is
  'Records one portion of activities, for at most _limit users: of the oldest message that is due, of the tenant whose turn it is. Recording and progress are one transaction, so no activity is lost or repeated. tenant_id is null if nothing is due or another instance is recording. After an error the message is due again in two seconds, while others of its tenant continue; an error of the message itself doubles the delay each time, and the eighth in a row parks the message.';

alter function record_pending_activities(int) owner to discuss_system;
revoke all on function record_pending_activities(int) from public;
grant execute on function record_pending_activities(int) to discuss_service;
