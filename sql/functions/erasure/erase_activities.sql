create or replace function erase_activities(
  _tenant_id bigint,
  _user_id bigint,
  _after bigint,
  _scan int,
  out hold_id bigint,
  out erased int,
  out next_after bigint
)
language plpgsql security definer
set search_path = public, pg_temp
as $$
begin
  perform pg_advisory_xact_lock_shared(hashtext('discuss.holds'));
  hold_id := find_hold(_tenant_id, '{}', array[_user_id]);
  if hold_id is not null then
    return;
  end if;
  with page as (
    select a.id, a."timestamp", a.tenant_id, a.user_id, a.actor_id, a.collapsed_reactions
    from activity_feed a
    where a.id > _after
    order by a.id
    limit _scan
  ),
  removed as (
    delete from activity_feed a
    using page p
    where a.id = p.id
      and a."timestamp" = p."timestamp"
      and p.tenant_id = _tenant_id
      and (
        p.user_id = _user_id
        or p.actor_id = _user_id
        or p.collapsed_reactions @> jsonb_build_array(jsonb_build_object('user_id', _user_id))
      )
    returning 1
  )
  select
    (select count(*) from removed),
    case when count(*) = _scan then max(p.id) else 0 end
  into erased, next_after
  from page p;
end
$$;
comment on function erase_activities(bigint, bigint, bigint, int) is
  'Removes activities for or by a user among _scan activities of all tenants after an id, because no index has the actor. next_after: where to continue; 0: at the end. Nothing is removed while there is a legal hold on the user (hold_id).';

alter function erase_activities(bigint, bigint, bigint, int) owner to discuss_system;
revoke all on function erase_activities(bigint, bigint, bigint, int) from public;
grant execute on function erase_activities(bigint, bigint, bigint, int) to discuss_service;
