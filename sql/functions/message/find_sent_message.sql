create or replace function find_sent_message(_tenant_id bigint, _user_id bigint, _request_id uuid) returns setof messages
language sql stable security definer
set search_path = public, pg_temp
as $$
  select m.*
  from idempotency_keys k
  join messages m on m.id = k.resource_id
  where k.tenant_id = _tenant_id
    and k.user_id = _user_id
    and k.request_id = _request_id
    and k.method = 'SendMessage'
    and m.tenant_id = _tenant_id
$$;
comment on function find_sent_message(bigint, bigint, uuid) is
  'The message that a request id of a user posted. Bypasses the policies of messages, so that a retry finds it after the sender was removed from the channel or the channel was deleted. The caller passes the tenant and user of the verified token.';

alter function find_sent_message(bigint, bigint, uuid) owner to discuss_system;
revoke all on function find_sent_message(bigint, bigint, uuid) from public;
grant execute on function find_sent_message(bigint, bigint, uuid) to discuss_service;
