-- own_posts is complete only if a member's messages are inserted after the membership.
create or replace function derived_unread(
  _channel_id bigint,
  _user_id bigint,
  _post_seq bigint,
  _read_post_seq bigint,
  _own_posts bigint,
  _own_posts_read bigint
) returns int
language sql stable parallel safe
begin atomic
  select greatest(
    0,
    _post_seq
    - _read_post_seq
    - (_own_posts - _own_posts_read)
    - (
      select count(*)
      from deleted_posts d
      where d.channel_id = _channel_id
        and d.post_seq > _read_post_seq
        and d.sender_id != _user_id
    )
  )::int;
end;
comment on function derived_unread(bigint, bigint, bigint, bigint, bigint, bigint) is
  'The exact unread count of a member: messages after the read marker, without the member''s own and deleted ones. Arguments: channel, user, channels.post_seq, then the member''s read_post_seq, own_posts, own_posts_read.';
