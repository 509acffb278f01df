create or replace function thread_unread(_root_id bigint, _user_id bigint, _read_reply_id bigint, _since bigint) returns int
language sql stable parallel safe
begin atomic
  select count(*)::int
  from messages r
  where r.parent_id = _root_id
    and r.id > _read_reply_id
    and r.sender_id != _user_id
    and r.created_at >= _since
    and not r.is_deleted;
end;
comment on function thread_unread(bigint, bigint, bigint, bigint) is
  'The exact unread count of a thread: replies after the marker, without own and deleted ones, and without those from before _since, when the user last joined the channel.';
