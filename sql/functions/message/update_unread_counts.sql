-- No write depends on the number of members: a message is unread by its post_seq, and only messages that never count as
-- unread are recorded. A notice is recorded when it is inserted, so that positions have no gaps and read markers can point
-- at it.
create or replace function update_unread_counts() returns trigger
language plpgsql security definer
set search_path = public, pg_temp
as $$
begin
  if tg_op = 'DELETE' then
    -- Locks in the order of ids. A channel that is removed together with its messages no longer exists here.
    perform 1
    from channels c
    where c.id in (select r.channel_id from removed r where not r.is_deleted)
    order by c.id
    for no key update;

    insert into deleted_posts (channel_id, post_seq, tenant_id, sender_id)
    select r.channel_id, r.post_seq, r.tenant_id, r.sender_id
    from removed r
    join channels c on c.id = r.channel_id
    where not r.is_deleted
    on conflict do nothing;

    update channels c
    set unread_version = c.unread_version + 1
    where c.id in (select r.channel_id from removed r where not r.is_deleted);
    return null;
  end if;

  -- A new notice changes no unread count: it adds one to post_seq and one to the deleted posts.
  if tg_op = 'UPDATE' or new.is_deleted then
    update channels c
    set unread_version = c.unread_version + 1
    where c.id = new.channel_id;
  end if;

  if new.is_deleted or new.notice is not null then
    insert into deleted_posts (channel_id, post_seq, tenant_id, sender_id)
    values (new.channel_id, new.post_seq, new.tenant_id, new.sender_id)
    on conflict do nothing;
  else
    delete from deleted_posts d
    where d.channel_id = new.channel_id
      and d.post_seq = new.post_seq;
  end if;
  return null;
end
$$;
comment on function update_unread_counts() is
  'Maintains deleted_posts, from which unread counts are derived, and marks the channel as changed for settle_unread().';

alter function update_unread_counts() owner to discuss_system;
revoke all on function update_unread_counts() from public;
