create or replace function record_pending_activities(
  _limit int,
  out tenant_id bigint,
  out activities text,
  out error text
)
language plpgsql security definer
set search_path = public, pg_temp
-- Another session may have locked the channel.
set lock_timeout = '500ms'
as $$
#variable_conflict use_column
declare
  _message record;
  _next_after bigint;
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
    order by p.tenant_id, p.message_id
  ) as o
  where o.due_at <= now_ms()
  order by o.due_at, o.message_id
  limit 1;
  if not found then
    return;
  end if;

  tenant_id := _message.tenant_id;
  begin
    select r.activities, r.next_after
    into activities, _next_after
    from record_message(_message.message_id, _message.actor_name, _message.after_user_id, _limit) as r;
  exception when others then
    error := sqlerrm;
    update pending_activities p set due_at = now_ms() + 2000 where p.message_id = _message.message_id;
    return;
  end;
  if _next_after is null then
    delete from pending_activities p where p.message_id = _message.message_id;
  else
    update pending_activities p
    set after_user_id = _next_after,
        due_at = now_ms()
    where p.message_id = _message.message_id;
  end if;
end
$$;
comment on function record_pending_activities(int) is
  'Records one portion of activities, for at most _limit users: of the oldest message of the tenant whose turn it is. Recording and progress are one transaction, so no activity is lost or repeated. tenant_id is null if nothing is due or another instance is recording. After an error the message is due again in two seconds.';

alter function record_pending_activities(int) owner to discuss_system;
revoke all on function record_pending_activities(int) from public;
grant execute on function record_pending_activities(int) to discuss_service;
