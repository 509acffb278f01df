create or replace function learn_search_words(_limit int) returns int
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
  _to constant xid8 := pg_snapshot_xmin(pg_current_snapshot());
  _from xid8;
  _last xid8;
  _events int;
begin
  -- One call at a time over all instances.
  if not pg_try_advisory_xact_lock(hashtext('learn_search_words')) then
    return 0;
  end if;
  select w.horizon into _from from search_words w where w.tenant_id = 0 and w.word = '';
  -- In a restored dump transaction ids start again.
  if _from is null or _from > _to then
    _from := '0';
  end if;
  select count(*), max(e.xid) into _events, _last
  from (
    select xid from channel_events where xid >= _from and xid < _to order by xid, id limit _limit
  ) as e;
  if _events = 0 then
    return 0;
  end if;

  -- Up to the end of the last transaction, so that its events are processed together.
  insert into search_words (tenant_id, word)
  select distinct m.tenant_id, w.word
  from channel_events e
  join messages m on m.id = e.message_id and m.tenant_id = e.tenant_id
  cross join lateral unnest(tsvector_to_array(ts_filter(m.search_vector, '{a}'))) as w(word)
  where e.xid >= _from
    and e.xid <= _last
    and not m.is_deleted
    and length(w.word) between 4 and 64
  on conflict do nothing;

  insert into search_words (tenant_id, word, horizon)
  values (0, '', (_last::text::bigint + 1)::text::xid8)
  on conflict (tenant_id, word) do update set horizon = excluded.horizon;
  return _events;
end
$$;
comment on function learn_search_words(int) is
  'Adds the words of messages that were sent or changed since the last call, from about _limit events. Returns the number of events; less than _limit means that none are left.';

alter function learn_search_words(int) owner to discuss_system;
revoke all on function learn_search_words(int) from public;
grant execute on function learn_search_words(int) to discuss_service;
