create or replace view trending_channels
with (security_invoker = true) as
select
  r.id,
  r.tenant_id,
  r.name,
  r.type,
  r.member_count,
  r.message_count,
  r.recent_message_count
from (
  select
    n.*,
    row_number() over (partition by n.tenant_id order by n.recent_message_count desc, n.id) as place
  from (
    select
      c.id,
      c.tenant_id,
      c.name,
      c.type,
      c.member_count,
      c.message_count,
      recent_message_count(c.id) as recent_message_count
    from channels c
    where c.is_archived = false
      and c.deleted_at is null
      and c.type = 'GROUP'
  ) as n
) as r
where r.place <= 100
order by r.recent_message_count desc;
comment on view trending_channels is
  'The 100 groups of each tenant with the most messages in the last 24 hours.';

grant select on trending_channels to discuss_service;
