create or replace function export_messages(
  _tenant_id bigint,
  _channel_id bigint,
  _user_id bigint,
  _after bigint,
  _after_part bigint,
  _scan int,
  _limit int
)
returns table (key bigint, part bigint, line text, files text)
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  with page as (
    select m.*
    from messages m
    where m.channel_id = _channel_id
      and m.tenant_id = _tenant_id
      -- The last part of a message is a mark behind all its versions.
      and m.id >= _after + case when _after_part = 2147483647 then 1 else 0 end
    order by m.id
    limit _scan
  ),
  lines as (
    select m.id as key, 0 as part
    from page m
    where (m.id, 0) > (_after, _after_part)
      and (
        _user_id is null
        or m.sender_id = _user_id
        or m.mentions @> array[_user_id]
        or m.reactions @> jsonb_build_array(jsonb_build_object('users', jsonb_build_array(_user_id)))
        or exists (
          select
          from poll_votes v
          where v.tenant_id = _tenant_id and v.message_id = m.id and v.user_id = _user_id
        )
      )
    union all
    select e.message_id, e.version
    from page m
    join message_edits e on e.tenant_id = _tenant_id and e.message_id = m.id
    where (e.message_id, e.version) > (_after, _after_part)
      and (_user_id is null or m.sender_id = _user_id)
    order by 1, 2
    limit _limit
  )
  select
    l.key, l.part,
    jsonb_strip_nulls(case
      when l.part > 0 then
        (
          select jsonb_build_object(
            'kind', 'version', 'channelId', m.channel_id::text, 'messageId', m.id::text, 'version', e.version,
            'content', e.content, 'mentionUserIds', export_ids(e.mentions), 'metadata', e.metadata,
            'writeTime', export_time(e.created_at),
            'encryptedContent', translate(encode(e.encrypted_content, 'base64'), e'\n', '')
          )
          from message_edits e
          where e.tenant_id = _tenant_id and e.message_id = l.key and e.version = l.part
        )
      when _user_id is not null and m.sender_id != _user_id then
        jsonb_build_object(
          'kind', 'trace', 'channelId', m.channel_id::text, 'messageId', m.id::text,
          'mentioned', m.mentions @> array[_user_id],
          'reactions', (
            select jsonb_agg(r.reaction -> 'emoji')
            from jsonb_array_elements(m.reactions) as r(reaction)
            where r.reaction -> 'users' @> to_jsonb(_user_id)
          ),
          'votedOptionIds', (
            select jsonb_agg(v.option_id order by v.option_id)
            from poll_votes v
            where v.tenant_id = _tenant_id and v.message_id = m.id and v.user_id = _user_id
          )
        )
      else
        jsonb_build_object(
          'kind', 'message', 'channelId', m.channel_id::text, 'id', m.id::text, 'position', m.post_seq::text,
          'senderId', m.sender_id::text, 'type', m.message_type, 'content', m.content,
          'mentionUserIds', export_ids(m.mentions), 'mentionScope', m.mention_scope, 'rootMessageId', m.parent_id::text,
          'metadata', m.metadata, 'notice', m.notice, 'createTime', export_time(m.created_at),
          'editTime', export_time(m.edited_at), 'deleteTime', export_time(m.deleted_at), 'deleterId', m.deleted_by::text,
          'pinTime', export_time(m.pinned_at), 'pinnerId', m.pinned_by::text,
          'encryptedContent', translate(encode(m.encrypted_content, 'base64'), e'\n', ''),
          'reactions', (
            select jsonb_agg(
              jsonb_build_object(
                'emoji', r.reaction -> 'emoji',
                'userIds', (select jsonb_agg(u.id order by u.nth) from jsonb_array_elements_text(r.reaction -> 'users') with ordinality as u(id, nth))
              )
              order by r.nth
            )
            from jsonb_array_elements(m.reactions) with ordinality as r(reaction, nth)
          ),
          'votes', (
            select jsonb_agg(
              jsonb_build_object('userId', v.user_id::text, 'optionId', v.option_id) order by v.option_id, v.user_id
            )
            from poll_votes v
            where v.tenant_id = _tenant_id and v.message_id = m.id and _user_id is null
          )
        )
    end)::text,
    case when l.part = 0 and (_user_id is null or m.sender_id = _user_id) then export_files(_tenant_id, m.id, 0) end
  from lines l
  join page m on m.id = l.key
  union all
  select max(m.id), 2147483647, null, null
  from page m
  where (select count(*) from lines) < _limit
  having count(*) > 0
  order by 1, 2;
end;
comment on function export_messages(bigint, bigint, bigint, bigint, bigint, int, int) is
  'Lines of the messages of a channel, each followed by its earlier versions, after (_after, _after_part): of all, or of a user, with lines for the mentions, reactions and votes of the user in other messages. Reads _scan messages and returns at most _limit lines; the last row has no line, unless there are _limit lines, and is where to continue. No row: there are no more. Checks no rights.';

alter function export_messages(bigint, bigint, bigint, bigint, bigint, int, int) owner to discuss_system;
revoke all on function export_messages(bigint, bigint, bigint, bigint, bigint, int, int) from public;
grant execute on function export_messages(bigint, bigint, bigint, bigint, bigint, int, int) to discuss_service;
