create or replace function check_attachments(_items json) returns jsonb
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
  _errors jsonb;
begin
  perform 1
  from attachments a
  where a.id in (
    select (f ->> 'id')::bigint
    from json_array_elements(_items) as i
    cross join lateral json_array_elements(i -> 'attachments') as f
  )
  order by a.id
  for update;

  select coalesce(jsonb_object_agg(c.item, c.reason), '{}')
  into _errors
  from (
    select
      f.item,
      case
        when bool_or(a.id is null or f.turn > 1) then 'ATTACHMENT_NOT_FOUND'
        else 'ATTACHMENT_CHANGED'
      end as reason
    from (
      select
        r.item, r."tenantId", r."userId", r."channelId", (e ->> 'id')::bigint as id, (e ->> 'version')::int as version,
        row_number() over (partition by (e ->> 'id')::bigint order by r.item) as turn
      from json_to_recordset(_items) as r(
        item int, "tenantId" bigint, "userId" bigint, "channelId" bigint, attachments json
      )
      cross join lateral json_array_elements(r.attachments) as e
    ) as f
    left join attachments a
      on a.id = f.id
      and a.tenant_id = f."tenantId"
      and a.channel_id = f."channelId"
      and a.uploader_id = f."userId"
      and a.upload_state = 'UPLOADED'
      and a.message_id is null
    where a.id is null or f.turn > 1 or a.version != f.version
    group by f.item
  ) as c;
  return _errors;
end
$$;
comment on function check_attachments(json) is
  'Locks the files that a batch of messages refers to, and returns the error reasons of items that cannot be sent, by item: ATTACHMENT_NOT_FOUND unless each is an unsent upload of the sender for the channel, ATTACHMENT_CHANGED if a file was changed since the version of the item. Only insert_messages() calls it.';

alter function check_attachments(json) owner to discuss_system;
revoke all on function check_attachments(json) from public;
