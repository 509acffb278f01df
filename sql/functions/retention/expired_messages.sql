create or replace function expired_messages(_age_ms bigint, _limit int) returns table (id bigint, held boolean)
language plpgsql stable security definer
set search_path = public, pg_temp
as $$
declare
  _now constant bigint := retention_now();
  _shortest bigint;
begin
  select b.shortest
  into _shortest
  from retention_bounds('deleted', _age_ms) as b;
  -- Not the first message of a thread that has replies: without it, they would become messages of the channel.
  return query
  select m.id, is_held(m.tenant_id, m.channel_id, array[m.sender_id])
  from messages m
  where m.is_deleted
    and not m.is_kept
    and m.deleted_at < _now - _shortest
    and m.deleted_at < retention_cutoff(m.tenant_id, m.channel_id, 'deleted', _age_ms, _now)
    and not exists (select 1 from messages r where r.parent_id = m.id)
  order by m.deleted_at
  limit _limit;
end
$$;
comment on function expired_messages(bigint, int) is
  'At most _limit deleted messages whose period of retention is over, oldest deletion first, and whether a legal hold concerns them. _age_ms is the configured period; null: never.';

alter function expired_messages(bigint, int) owner to discuss_system;
revoke all on function expired_messages(bigint, int) from public;
