-- A notice takes the next post_seq like any message, and deleted_posts says at once that it counts for nobody: so
-- positions have no gaps, markers can stand on it, and unread numbers are derived as before.
create or replace function update_unread_counts() returns trigger
language plpgsql security definer
set search_path = public, pg_temp
as $$
begin
  if tg_op = 'DELETE' then
    -- Locks in id order; a channel that is being removed with its messages is gone already.
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

  -- A new notice alters no unread number: it raises what is counted, and what is left out, by one.
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
  'Keeps deleted_posts, from which unread numbers are derived, and tells settle_unread() that they changed.';

alter function update_unread_counts() owner to discuss_system;
revoke all on function update_unread_counts() from public;
