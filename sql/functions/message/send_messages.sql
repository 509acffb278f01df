create or replace function send_messages(_items json)
returns table (
  item int,
  error_reason text,
  message_id bigint,
  "position" bigint,
  created_at bigint,
  seq bigint,
  payload bytea,
  activities text
)
language plpgsql security definer
set search_path = public, pg_temp
-- As in insert_messages(), for record_message().
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  -- Of those that may concern somebody, by item: the name of the sender, and whether it is a reply.
  _concerning jsonb;
begin
  select jsonb_object_agg(i.item, jsonb_build_object('name', coalesce(i."userName", ''), 'reply', i."parentId" is not null))
  into _concerning
  from json_to_recordset(_items) as i(
    item int, "userName" text, mentions bigint[], "mentionScope" text, "parentId" bigint
  )
  where i.mentions != '{}' or i."mentionScope" = 'CHANNEL' or i."parentId" is not null;

  for item, error_reason, message_id, "position", created_at, seq, payload in
    select p.item, p.error_reason, p.message_id, p."position", p.created_at, p.seq, p.payload
    from insert_messages(_items) as p
  loop
    activities := null;
    if error_reason is null and _concerning ? item::text then
      if (_concerning -> item::text ->> 'reply')::boolean then
        payload := record_reply(message_id, payload);
      end if;
      activities := record_message(message_id, _concerning -> item::text ->> 'name');
    end if;
    return next;
  end loop;
end
$$;
comment on function send_messages(json) is
  'Posts a batch of messages of any callers and tenants. Each item is checked by itself: tenant, membership (isManager, a service that acts for nobody, needs none), archive, parent. error_reason is null for a posted one, REPEATED when its request id is taken (look the message up by it), else the reason. One refused item does not touch the others. activities are those recorded for the people a message concerns, as JSON; null when there are none.';

alter function send_messages(json) owner to discuss_system;
revoke all on function send_messages(json) from public;
grant execute on function send_messages(json) to discuss_service;
