create or replace function repair_deleted_posts(_ids bigint[]) returns table (kind text, repaired bigint)
language sql volatile
set search_path = public, pg_temp
begin atomic
  with expected as materialized (
    select *
    from expected_deleted_posts(_ids) t
    where t.is_recorded != t.is_expected
  ),
  added as (
    insert into deleted_posts (channel_id, post_seq, tenant_id, sender_id)
    select t.channel_id, t.post_seq, t.tenant_id, t.sender_id
    from expected t
    where t.is_expected
    on conflict do nothing
  ),
  removed as (
    delete from deleted_posts d
    using expected t
    where not t.is_expected and d.channel_id = t.channel_id and d.post_seq = t.post_seq
  ),
  unsettled as (
    update channels c
    set unread_version = c.unread_version + 1
    where c.id in (select t.channel_id from expected t)
  )
  select 'deleted_posts', count(*)
  from expected t;
end;
comment on function repair_deleted_posts(bigint[]) is
  'Repairs deleted_posts of locked channels; returns the number of changed rows.';

alter function repair_deleted_posts(bigint[]) owner to discuss_system;
revoke all on function repair_deleted_posts(bigint[]) from public;
