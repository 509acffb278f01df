create or replace function remove_exported_messages(
  _tenant_id bigint,
  _channel_id bigint,
  _ids bigint[],
  _event_seqs bigint[],
  _object jsonb
) returns int
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
  _updated_at bigint;
begin
  perform pg_advisory_xact_lock_shared(hashtext('discuss.holds'));
  select c.updated_at
  into _updated_at
  from channels c
  where c.id = _channel_id and c.tenant_id = _tenant_id
  for no key update;

  -- With the lock of the channel, nothing can change after this comparison.
  if (select array_agg(m.event_seq order by m.id) from messages m where m.id = any(_ids) and m.channel_id = _channel_id)
    is distinct from _event_seqs
    or exists (select from messages m where m.parent_id = any(_ids) and m.id != all(_ids))
    or exists (select from messages m where m.id = any(_ids) and is_held(_tenant_id, _channel_id, array[m.sender_id]))
  then
    return 0;
  end if;

  delete from message_edits e where e.tenant_id = _tenant_id and e.message_id = any(_ids);
  delete from poll_votes v where v.tenant_id = _tenant_id and v.message_id = any(_ids);
  delete from thread_followers f where f.tenant_id = _tenant_id and f.root_id = any(_ids);
  delete from messages m where m.id = any(_ids);
  -- An inactive group does not become active by it.
  update channels c set updated_at = _updated_at where c.id = _channel_id;

  perform append_audit_event(
    _tenant_id, 'job', 0, 'MESSAGES_EXPORTED',
    jsonb_build_object(
      'channel_id', _channel_id::text, 'count', cardinality(_ids), 'first_id', _ids[1]::text,
      'last_id', _ids[cardinality(_ids)]::text
    ) || _object || purge_rule('export', null)
  );
  return cardinality(_ids);
end
$$;
comment on function remove_exported_messages(bigint, bigint, bigint[], bigint[], jsonb) is
  'Removes messages after their export, with all that refers to them, and records in the audit log the object that contains them. Returns their number; 0 if one has changed since next_message_export(), or a legal hold was placed.';

alter function remove_exported_messages(bigint, bigint, bigint[], bigint[], jsonb) owner to discuss_system;
revoke all on function remove_exported_messages(bigint, bigint, bigint[], bigint[], jsonb) from public;
grant execute on function remove_exported_messages(bigint, bigint, bigint[], bigint[], jsonb) to discuss_service;
