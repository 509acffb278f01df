create or replace function repair_orphans(_ids bigint[], _tenant_id bigint, _after bigint, _to bigint)
returns table (kind text, checked bigint, repaired bigint)
language plpgsql
set search_path = public, pg_temp
set enable_seqscan = off
set jit = off
as $$
declare
  _missing bigint[];
begin
  kind := 'messages.parent_id';
  select count(*)
  into checked
  from messages m
  where m.channel_id = any(_ids)
    and m.parent_id is not null;
  update messages m
  set parent_id = null
  where m.channel_id = any(_ids)
    and m.parent_id is not null
    and not exists (select 1 from messages p where p.id = m.parent_id and p.channel_id = m.channel_id);
  get diagnostics repaired = row_count;
  return next;

  kind := 'messages.channel_id';
  -- One look into the index for each channel id, and not for each message.
  with recursive used as (
    select (select min(m.channel_id) from messages m where m.channel_id > _after) as id
    union all
    select (select min(m.channel_id) from messages m where m.channel_id > u.id)
    from used u
    where u.id is not null and (_to is null or u.id < _to)
  )
  select count(*), array_agg(u.id) filter (where not exists (select 1 from channels c where c.id = u.id))
  into checked, _missing
  from used u
  where u.id <= coalesce(_to, u.id);
  delete from messages m
  where m.channel_id = any(_missing)
    and (_tenant_id = 0 or m.tenant_id = _tenant_id);
  get diagnostics repaired = row_count;
  return next;
end
$$;
comment on function repair_orphans(bigint[], bigint, bigint, bigint) is
  'Detaches replies of the channels _ids to messages that do not exist in their channel, and removes messages whose channel_id is above _after, at most _to (null: any) and of no channel. Returns how many replies, or channel ids, were checked.';

alter function repair_orphans(bigint[], bigint, bigint, bigint) owner to discuss_system;
revoke all on function repair_orphans(bigint[], bigint, bigint, bigint) from public;
