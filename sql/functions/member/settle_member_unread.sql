create or replace function settle_member_unread() returns trigger
language plpgsql security definer
set search_path = public, pg_temp
as $$
begin
  select derived_unread(c.id, new.user_id, c.post_seq, new.read_post_seq, new.own_posts, new.own_posts_read)
  into new.unread_count
  from channels c
  where c.id = new.channel_id;
  -- Without its channel the row fails at the foreign key, not here.
  new.unread_count := coalesce(new.unread_count, 0);
  return new;
end
$$;
comment on function settle_member_unread() is
  'Stores the exact unread number whenever a membership begins, ends or moves its read marker.';

alter function settle_member_unread() owner to discuss_system;
revoke all on function settle_member_unread() from public;
