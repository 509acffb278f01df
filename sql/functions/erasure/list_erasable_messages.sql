create or replace function list_erasable_messages(
  _tenant_id bigint,
  _channel_id bigint,
  _user_id bigint,
  _before bigint,
  _scan int,
  _limit int,
  out own_ids bigint[],
  out trace_ids bigint[],
  out next_before bigint
)
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  with page as (
    select
      m.id,
      m.sender_id = _user_id as is_own,
      case
        when m.sender_id = _user_id then
          not m.is_deleted or m.content not in ('', '[erased]') or m.mentions != '{}' or m.metadata is not null
            or m.encrypted_content is not null
        else
          m.mentions @> array[_user_id]
          or (m.notice ->> 'actorId' = _user_id::text and m.notice ? 'actorName')
          or m.reactions @> jsonb_build_array(jsonb_build_object('users', jsonb_build_array(_user_id)))
          or exists (
            select
            from poll_votes v
            where v.tenant_id = _tenant_id and v.message_id = m.id and v.user_id = _user_id
          )
      end as is_concerned
    from messages m
    where m.channel_id = _channel_id
      and m.tenant_id = _tenant_id
      and m.id < _before
    order by m.id desc
    limit _scan
  ),
  concerned as (
    select p.id, p.is_own
    from page p
    where p.is_concerned
    order by p.id desc
    limit _limit
  )
  select
    coalesce((select array_agg(c.id order by c.id desc) from concerned c where c.is_own), '{}'),
    coalesce((select array_agg(c.id order by c.id desc) from concerned c where not c.is_own), '{}'),
    case
      when (select count(*) from concerned) = _limit then (select min(c.id) from concerned c)
      when (select count(*) from page) = _scan then (select min(p.id) from page p)
      else 0
    end;
end;
comment on function list_erasable_messages(bigint, bigint, bigint, bigint, int, int) is
  'Messages of a channel before an id, newest first, that the erasure of a user concerns: at most _limit of _scan messages. own_ids: of the user and not erased yet; trace_ids: of others, with a mention, reaction or vote of the user, and notices with the name of the user. next_before: where to continue; 0: the channel has no more.';

alter function list_erasable_messages(bigint, bigint, bigint, bigint, int, int) owner to discuss_system;
revoke all on function list_erasable_messages(bigint, bigint, bigint, bigint, int, int) from public;
grant execute on function list_erasable_messages(bigint, bigint, bigint, bigint, int, int) to discuss_service;
