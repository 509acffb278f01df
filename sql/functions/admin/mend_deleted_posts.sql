create or replace function mend_deleted_posts(_ids bigint[]) returns table (kind text, mended bigint)
language sql volatile
set search_path = public, pg_temp
begin atomic
  with truth as materialized (
    select *
    from deleted_post_truth(_ids) t
    where t.is_noted != t.is_due
  ),
  added as (
    insert into deleted_posts (channel_id, post_seq, tenant_id, sender_id)
    select t.channel_id, t.post_seq, t.tenant_id, t.sender_id
    from truth t
    where t.is_due
    on conflict do nothing
  ),
  removed as (
    delete from deleted_posts d
    using truth t
    where not t.is_due and d.channel_id = t.channel_id and d.post_seq = t.post_seq
  ),
  unsettled as (
    update channels c
    set unread_version = c.unread_version + 1
    where c.id in (select t.channel_id from truth t)
  )
  select 'deleted_posts', count(*)
  from truth t;
end;
comment on function mend_deleted_posts(bigint[]) is 'Mends which numbers of locked channels count for nobody, and how many.';

alter function mend_deleted_posts(bigint[]) owner to discuss_system;
revoke all on function mend_deleted_posts(bigint[]) from public;
