create or replace function keep_held_events(_partition text, _before bigint) returns void
language plpgsql
set search_path = public, pg_temp
as $$
begin
  if not exists (select from legal_holds h where h.released_at is null) then
    return;
  end if;
  execute format(
    $insert$
      insert into held_events (channel_id, seq, tenant_id, kind, message_id, actor_id, created_at, payload)
      select e.channel_id, e.seq, e.tenant_id, e.kind, e.message_id, e.actor_id, e.created_at, e.payload
      from %1$I e
      where e.created_at < $1
        and (
          exists (
            select
            from legal_holds h
            where h.tenant_id = e.tenant_id and h.released_at is null and h.user_id = e.actor_id
          )
          or e.channel_id in (
            select c.channel_id
            from (
              select distinct x.tenant_id, x.channel_id
              from %1$I x
              where x.tenant_id in (select h.tenant_id from legal_holds h where h.released_at is null)
            ) as c
            where is_held(c.tenant_id, c.channel_id, '{}')
          )
        )
      on conflict do nothing
    $insert$,
    _partition
  ) using _before;
end
$$;
comment on function keep_held_events(text, bigint) is
  'Copies the events of a partition of the log before a time that legal holds concern, before they are removed.';

revoke all on function keep_held_events(text, bigint) from public;
