-- Only whole threads, because a reply without its root has no place, and a root counts its replies. Deleted messages remain until
-- their own period is over, so that what users deleted is in no export. The last message remains for previews.
create or replace function exportable_roots(_from_channel bigint, _limit int)
returns table (tenant_id bigint, channel_id bigint, id bigint, messages int, month text)
language plpgsql stable security definer
set search_path = public, pg_temp
as $$
declare
  _now constant bigint := retention_now();
begin
  return query
  select c.tenant_id, c.id, m.id, 1 + m.thread_count, to_char(to_timestamp(m.created_at / 1000.0) at time zone 'UTC', 'YYYY-MM')
  from channels c
  cross join lateral (
    select
      -- Whole months: until the begin of the month in which the period begins.
      extract(epoch from date_trunc(
        'month', to_timestamp(retention_cutoff(c.tenant_id, c.id, 'export', null, _now) / 1000.0) at time zone 'UTC'
      ) at time zone 'UTC')::bigint * 1000 as before,
      (
        select l.id
        from messages l
        where l.channel_id = c.id and not l.is_deleted and l.notice is null
        order by l.id desc
        limit 1
      ) as last_id
  ) as e
  cross join lateral (
    select x.id, x.thread_count, x.created_at
    from messages x
    where x.channel_id = c.id
      and x.is_deleted = false
      and x.created_at < e.before
      and x.id < e.last_id
      and x.parent_id is null
      and x.pinned_at is null
      and not is_held(c.tenant_id, c.id, array[x.sender_id])
      and not exists (
        select
        from messages r
        where r.parent_id = x.id
          and (
            r.is_deleted
            or r.created_at >= e.before
            or r.id >= e.last_id
            or r.pinned_at is not null
            or is_held(c.tenant_id, c.id, array[r.sender_id])
          )
      )
    order by x.id
    limit _limit
  ) as m
  where c.tenant_id in (select r.tenant_id from retention_rules r where r.export_days > 0)
    and c.id >= _from_channel
    and c.deleted_at is null
    and c.encrypted_at is null
    and e.before is not null
  order by c.id, m.id
  limit _limit;
end
$$;
comment on function exportable_roots(bigint, int) is
  'First messages of threads, and messages without replies, whose month is over for their period of export, by channel and id, with the number of messages of each. Not of encrypted channels, whose data keys may be replaced, and nothing that a legal hold concerns.';

alter function exportable_roots(bigint, int) owner to discuss_system;
revoke all on function exportable_roots(bigint, int) from public;
