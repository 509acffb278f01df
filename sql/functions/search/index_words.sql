create or replace function index_words(_message_ids bigint[]) returns void
language plpgsql security definer
set search_path = public, pg_temp
set enable_seqscan = off
as $$
begin
  delete from message_words w
  using messages m
  where w.message_id = any(_message_ids)
    and m.id = w.message_id
    and m.is_deleted;

  insert into message_words as w (message_id, tenant_id, edited_at, created_at, scope, search_vector)
  select
    m.id, m.tenant_id, m.edited_at, m.created_at,
    search_scope(m.id, m.tenant_id, m.channel_id, m.sender_id, m.message_type), message_vector(m.content || ' ' || m.file_names)
  from messages m
  where m.id = any(_message_ids)
    and not m.is_deleted
    and m.notice is null
  on conflict (message_id) do update
  set edited_at = excluded.edited_at,
      scope = excluded.scope,
      search_vector = excluded.search_vector;

  insert into search_words (tenant_id, word)
  select distinct w.tenant_id, x.word
  from message_words w
  cross join lateral unnest(tsvector_to_array(ts_filter(w.search_vector, '{a}'))) as x(word)
  where w.message_id = any(_message_ids)
    and length(x.word) between 4 and 64
  on conflict do nothing;
end
$$;
comment on function index_words(bigint[]) is
  'Brings the rows of these messages in message_words, and the words of their tenants, up to the current content and file names.';

alter function index_words(bigint[]) owner to discuss_system;
revoke all on function index_words(bigint[]) from public;
