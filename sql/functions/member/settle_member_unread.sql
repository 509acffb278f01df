create or replace function settle_member_unread() returns trigger
language plpgsql security definer
set search_path = public, pg_temp
as $$
begin
  select derived_unread(c.id, new.user_id, c.post_seq, new.read_post_seq, new.own_posts, new.own_posts_read)
  into new.unread_count
  from channels c
  where c.id = new.channel_id;
  -- If the channel does not exist, the row fails at the foreign key.
  new.unread_count := coalesce(new.unread_count, 0);
  return new;
end
$$;
comment on function settle_member_unread() is
  'Stores the exact unread count when a membership begins or ends or its read marker moves.';

alter function settle_member_unread() owner to discuss_system;
revoke all on function settle_member_unread() from public;
