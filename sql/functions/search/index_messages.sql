create or replace function index_messages(_limit int)
returns table (events int, lag_ms bigint)
language plpgsql security definer
set search_path = public, pg_temp
set enable_seqscan = off
set jit = off
-- Plain SQL that changes messages locks the same rows in its own order. This job gives up before PostgreSQL looks for a
-- deadlock (deadlock_timeout), so that it does not end the other transaction.
set lock_timeout = '200ms'
as $$
declare
  _to constant xid8 := pg_snapshot_xmin(pg_current_snapshot());
  _from xid8;
  _last xid8;
  _ids bigint[];
begin
  events := 0;
  -- One call at a time over all instances.
  if not pg_try_advisory_xact_lock(hashtext('index_messages')) then
    return next;
    return;
  end if;
  select w.horizon into _from from search_words w where w.tenant_id = 0 and w.word = '';
  -- In a restored dump transaction ids start again.
  if _from is null or _from > _to then
    _from := '0';
  end if;
  select count(*), max(e.xid), greatest(0, now_ms() - min(e.created_at))
  into events, _last, lag_ms
  from (
    select xid, created_at from channel_events where xid >= _from and xid < _to order by xid, id limit _limit
  ) as e;
  if events = 0 then
    return next;
    return;
  end if;

  -- Up to the end of the last transaction, so that its events are processed together.
  _ids := array(
    select distinct e.message_id
    from channel_events e
    where e.xid >= _from
      and e.xid <= _last
      and e.kind in ('MESSAGE_CREATED', 'MESSAGE_EDITED', 'MESSAGE_DELETED', 'ATTACHMENT_CHANGED')
      and e.message_id is not null
  );
  begin
    perform index_words(_ids);
  exception
    when lock_not_available or deadlock_detected then
      events := 0;
      return next;
      return;
  end;

  insert into search_words (tenant_id, word, horizon)
  values (0, '', (_last::text::bigint + 1)::text::xid8)
  on conflict (tenant_id, word) do update set horizon = excluded.horizon;
  return next;
end
$$;
comment on function index_messages(int) is
  'Indexes the words of messages that were sent, edited or deleted since the last call, from about _limit events of the log. Returns the number of events, less than _limit if none are left, and how long ago the oldest of them was, in ms (null without events). If another transaction has locked a row, nothing is indexed and the next call tries again: no events, but their age.';

alter function index_messages(int) owner to discuss_system;
revoke all on function index_messages(int) from public;
grant execute on function index_messages(int) to discuss_service;
