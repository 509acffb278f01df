create or replace function replace_events(_channel_id bigint, _message_id bigint, _seqs bigint[], _payloads bytea[])
returns void
language plpgsql security definer
set search_path = public, pg_temp
as $$
begin
  update channel_events e
  set payload = n.payload
  from unnest(_seqs, _payloads) as n (seq, payload)
  where e.tenant_id = app_tenant_id()
    and e.message_id = _message_id
    and e.channel_id = _channel_id
    and e.seq = n.seq;
end
$$;
comment on function replace_events(bigint, bigint, bigint[], bytea[]) is
  'Replaces logged events of a message of the caller''s tenant by the same events without a file that was removed. The caller must have locked the channel before it read them, and append the event of the removal next.';

alter function replace_events(bigint, bigint, bigint[], bytea[]) owner to discuss_system;
revoke all on function replace_events(bigint, bigint, bigint[], bytea[]) from public;
grant execute on function replace_events(bigint, bigint, bigint[], bytea[]) to discuss_service;
