create or replace function export_held(_tenant_id bigint, _channel_id bigint, _after bigint, _limit int)
returns table (key bigint, line text)
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  select
    c.id,
    (
      c.data - 's3Key' || jsonb_build_object(
        'kind', 'held' || initcap(c.kind), 'messageId', c.message_id::text, 'senderId', c.user_id::text,
        'removeTime', export_time(c.kept_at)
      )
    )::text
  from held_contents c
  where c.tenant_id = _tenant_id
    and c.channel_id = _channel_id
    and c.id > _after
  order by c.id
  limit _limit;
end;
comment on function export_held(bigint, bigint, bigint, int) is
  'Lines of what a legal hold keeps of deleted messages of a channel, after an id, for ExportChannel. Checks no rights.';

alter function export_held(bigint, bigint, bigint, int) owner to discuss_system;
revoke all on function export_held(bigint, bigint, bigint, int) from public;
grant execute on function export_held(bigint, bigint, bigint, int) to discuss_service;
