create or replace function expired_channels(_age_ms bigint, _limit int) returns setof bigint
language plpgsql stable security definer
set search_path = public, pg_temp
as $$
declare
  _now constant bigint := retention_now();
begin
  return query
  select c.id
  from channels c
  where c.deleted_at < retention_cutoff(c.tenant_id, c.id, 'deleted', _age_ms, _now)
    and not is_held(c.tenant_id, c.id, '{}')
    -- Of a user, a hold keeps the messages, which cannot be without their channel.
    and not exists (
      select
      from legal_holds h
      where h.tenant_id = c.tenant_id
        and h.released_at is null
        and exists (select from channel_members m where m.channel_id = c.id and m.user_id = h.user_id and m.own_posts > 0)
    )
  order by c.deleted_at
  limit _limit;
end
$$;
comment on function expired_channels(bigint, int) is
  'At most _limit deleted channels whose period of retention is over, oldest deletion first. _age_ms is the configured period; null: never.';

alter function expired_channels(bigint, int) owner to discuss_system;
revoke all on function expired_channels(bigint, int) from public;
