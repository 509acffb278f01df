create or replace function erase_traces(_channel_id bigint, _user_id bigint, _message_id bigint) returns boolean
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
  _tenant_id constant bigint := app_tenant_id();
begin
  update messages m
  set notice = case when m.notice ->> 'actorId' = _user_id::text then m.notice - 'actorName' else m.notice end,
      mentions = array_remove(m.mentions, _user_id),
      reactions = coalesce(
        (
          select jsonb_agg(jsonb_set(t.reaction, '{users}', u.users) order by t.nth)
          from jsonb_array_elements(m.reactions) with ordinality as t(reaction, nth)
          cross join lateral (
            select coalesce(jsonb_agg(e.id order by e.nth), '[]') as users
            from jsonb_array_elements(t.reaction -> 'users') with ordinality as e(id, nth)
            where e.id != to_jsonb(_user_id)
          ) as u
          where u.users != '[]'
        ),
        '[]'
      ),
      event_seq = case
        when m.is_deleted then m.event_seq
        else (select c.event_seq + 1 from channels c where c.id = m.channel_id)
      end
  where m.id = _message_id
    and m.channel_id = _channel_id
    and m.tenant_id = _tenant_id
    and m.sender_id != _user_id;
  if not found then
    return false;
  end if;
  delete from poll_votes v where v.tenant_id = _tenant_id and v.message_id = _message_id and v.user_id = _user_id;
  delete from activity_feed a
  where a.message_id = _message_id
    and (
      a.user_id = _user_id
      or a.actor_id = _user_id
      or a.collapsed_reactions @> jsonb_build_array(jsonb_build_object('user_id', _user_id))
    );
  return true;
end
$$;
comment on function erase_traces(bigint, bigint, bigint) is
  'Removes mentions, reactions, votes, activities and the name of a user from the message of another user or a notice, in a locked channel of the caller''s tenant. Unless the message is deleted, the caller must append an event of it next.';

alter function erase_traces(bigint, bigint, bigint) owner to discuss_system;
revoke all on function erase_traces(bigint, bigint, bigint) from public;
grant execute on function erase_traces(bigint, bigint, bigint) to discuss_service;
