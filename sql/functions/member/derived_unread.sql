-- own_posts is complete only if a member's messages are inserted after the membership.
create or replace function derived_unread(
  p_channel_id bigint,
  p_user_id bigint,
  p_post_seq bigint,
  p_read_post_seq bigint,
  p_own_posts bigint,
  p_own_posts_read bigint
) returns int
language sql stable parallel safe
begin atomic
  select greatest(
    0,
    p_post_seq
    - p_read_post_seq
    - (p_own_posts - p_own_posts_read)
    - (
      select count(*)
      from deleted_posts d
      where d.channel_id = p_channel_id
        and d.post_seq > p_read_post_seq
        and d.sender_id != p_user_id
    )
  )::int;
end;
comment on function derived_unread(bigint, bigint, bigint, bigint, bigint, bigint) is
  'The exact unread count of a member: messages after the read marker, without the member''s own and deleted ones. Arguments: channel, user, channels.post_seq, then the member''s read_post_seq, own_posts, own_posts_read.';
