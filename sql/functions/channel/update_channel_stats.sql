create or replace function update_channel_stats() returns trigger
language plpgsql security definer
set search_path = public, pg_temp
as $$
begin
  if tg_op = 'INSERT' then
    update channels c
    set message_count = c.message_count + 1,
        last_message_at = greatest(c.last_message_at, new.created_at),
        updated_at = greatest(c.updated_at, new.created_at),
        unread_version = c.unread_version + 1
    where c.id = new.channel_id;
  else
    perform 1
    from channels c
    where c.id in (select r.channel_id from removed r)
    order by c.id
    for no key update;

    update channels c
    set message_count = greatest(0, c.message_count - s.messages),
        -- Not for messages that were deleted before: their removal by retention would keep an inactive group from being
        -- archived.
        updated_at = case when s.is_change then now_ms() else c.updated_at end,
        unread_version = c.unread_version + 1
    from (
      select
        r.channel_id, count(*) filter (where r.notice is null)::int as messages, bool_or(not r.is_deleted) as is_change
      from removed r
      group by r.channel_id
    ) as s
    where c.id = s.channel_id;
  end if;
  return null;
end
$$;
comment on function update_channel_stats() is
  'Maintains message_count, last_message_at and updated_at of channels for rows that plain SQL inserts and for removed rows.';

alter function update_channel_stats() owner to discuss_system;
revoke all on function update_channel_stats() from public;
