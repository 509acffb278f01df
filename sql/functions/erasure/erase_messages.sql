create or replace function erase_messages(_channel_id bigint, _user_id bigint, _message_ids bigint[]) returns text[]
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
  _tenant_id constant bigint := app_tenant_id();
  _ids bigint[];
  _words text[];
begin
  _ids := array(
    select m.id
    from messages m
    where m.id = any (_message_ids)
      and m.channel_id = _channel_id
      and m.tenant_id = _tenant_id
      and m.sender_id = _user_id
  );
  _words := array(
    select distinct x.word
    from message_words w
    cross join lateral unnest(tsvector_to_array(ts_filter(w.search_vector, '{a}'))) as x(word)
    where w.message_id = any (_ids)
      and length(x.word) between 4 and 64
  );
  delete from message_words w where w.message_id = any (_ids);
  delete from attachments a where a.tenant_id = _tenant_id and a.message_id = any (_ids);
  delete from message_edits e where e.tenant_id = _tenant_id and e.message_id = any (_ids);
  delete from poll_votes v where v.tenant_id = _tenant_id and v.message_id = any (_ids);
  delete from pending_activities p where p.message_id = any (_ids);
  delete from activity_feed a where a.message_id = any (_ids);
  -- The document requires content in messages of type TEXT.
  update messages m
  set content = case when m.message_type = 'TEXT' then '[erased]' else '' end,
      mentions = '{}',
      mention_scope = null,
      metadata = null,
      encrypted_content = null,
      reactions = '[]',
      file_names = ''
  where m.id = any (_ids);
  return _words;
end
$$;
comment on function erase_messages(bigint, bigint, bigint[]) is
  'Removes what remains of deleted messages of a user in a locked channel of the caller''s tenant: content, mentions, metadata, files, edits, votes, words and activities. Returns words that searches might know only from these messages, see remove_unused_words().';

alter function erase_messages(bigint, bigint, bigint[]) owner to discuss_system;
revoke all on function erase_messages(bigint, bigint, bigint[]) from public;
grant execute on function erase_messages(bigint, bigint, bigint[]) to discuss_service;
