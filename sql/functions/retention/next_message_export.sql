create or replace function next_message_export(_from_channel bigint, _limit int)
returns table (tenant_id bigint, channel_id bigint, month text, ids bigint[], event_seqs bigint[])
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  with roots as (
    select r.*, sum(r.messages) over (order by r.channel_id, r.id) as total
    from exportable_roots(_from_channel, _limit) as r
  ),
  picked as (
    select r.*
    from roots r
    join (select f.* from roots f order by f.channel_id, f.id limit 1) as f on f.channel_id = r.channel_id and f.month = r.month
    where r.total <= _limit or r.id = f.id
  ),
  chosen as (
    select p.tenant_id, p.channel_id, p.month, m.id, m.event_seq
    from picked p
    join messages m on m.id = p.id
    union all
    select p.tenant_id, p.channel_id, p.month, m.id, m.event_seq
    from picked p
    join messages m on m.parent_id = p.id
  )
  select c.tenant_id, c.channel_id, c.month, array_agg(c.id order by c.id), array_agg(c.event_seq order by c.id)
  from chosen c
  group by c.tenant_id, c.channel_id, c.month;
end;
comment on function next_message_export(bigint, int) is
  'The next messages to export: about _limit of one channel and month, from a channel on, with their event_seq, which every change increases. No row: nothing is due.';

alter function next_message_export(bigint, int) owner to discuss_system;
revoke all on function next_message_export(bigint, int) from public;
grant execute on function next_message_export(bigint, int) to discuss_service;
