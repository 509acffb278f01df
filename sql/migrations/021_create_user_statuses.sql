-- Presence lives in Redis; what a user chose to be shown as is kept here, and copied there while the user is online.
create table user_statuses (
  tenant_id bigint not null,
  user_id bigint not null,
  status varchar(50) not null,
  status_text varchar(100) not null default '',
  expires_at bigint,
  updated_at bigint not null,

  primary key (tenant_id, user_id),

  constraint valid_user_status check (status in ('ONLINE', 'AWAY', 'BUSY', 'OFFLINE'))
);

comment on table user_statuses is
  'What users chose to be shown as; no row for those who never chose. Others see the text, and of the status what it makes of their presence.';
comment on column user_statuses.tenant_id is 'Tenant of the user.';
comment on column user_statuses.user_id is 'The user.';
comment on column user_statuses.status is 'ONLINE: as the devices say; AWAY; BUSY; OFFLINE: not to be seen.';
comment on column user_statuses.status_text is 'Text beside the status; empty: none.';
comment on column user_statuses.expires_at is 'When status and text end, epoch ms; null: never.';
comment on column user_statuses.updated_at is 'When it was chosen, epoch ms; grows with every change, so that a late copy of an older choice is known as such.';

grant select, insert, update on user_statuses to discuss_service;
grant select, insert, update, delete on user_statuses to discuss_system;

alter table user_statuses enable row level security;
alter table user_statuses force row level security;

create policy system_policy on user_statuses
to discuss_system
using (true)
with check (true);

-- Not of the tenant: the row of somebody who is not to be seen says so.
create policy status_access_policy on user_statuses
to discuss_service
using (
  tenant_id = (select app_tenant_id())
  and user_id = (select app_user_id())
);

create function user_status_texts(_user_ids bigint[])
returns table (user_id bigint, status_text text, expires_at bigint)
language plpgsql stable security definer
set search_path = public, pg_temp
as $$
begin
  return query
  select s.user_id, s.status_text::text, s.expires_at
  from user_statuses s
  where s.tenant_id = app_tenant_id()
    and s.user_id = any(_user_ids)
    and s.status_text != ''
    and (s.expires_at is null or s.expires_at > now_ms());
end
$$;
comment on function user_status_texts(bigint[]) is
  'Texts that these users of the caller''s tenant chose and that have not ended. Not their statuses.';

create function chosen_statuses(_tenant_ids bigint[], _user_ids bigint[])
returns table (tenant_id bigint, user_id bigint, status text, expires_at bigint, updated_at bigint)
language plpgsql stable security definer
set search_path = public, pg_temp
as $$
begin
  return query
  select u.tenant_id, u.user_id, s.status::text, s.expires_at, s.updated_at
  from unnest(_tenant_ids, _user_ids) as u(tenant_id, user_id)
  join user_statuses s on s.tenant_id = u.tenant_id and s.user_id = u.user_id;
end
$$;
comment on function chosen_statuses(bigint[], bigint[]) is
  'What users chose, of several tenants: for the copy in Redis, made when a device of theirs appears.';

create function presence_audiences(
  _tenant_ids bigint[],
  _user_ids bigint[],
  _max_members int,
  _max_channels int
)
returns table (tenant_id bigint, user_id bigint, channel_ids bigint[], status_text text, expires_at bigint)
language plpgsql stable security definer
set search_path = public, pg_temp
as $$
begin
  return query
  select
    u.tenant_id, u.user_id,
    array(
      select m.channel_id
      from channel_members m
      join channels c on c.id = m.channel_id and c.tenant_id = m.tenant_id
      where m.tenant_id = u.tenant_id
        and m.user_id = u.user_id
        and m.status in ('ACTIVE', 'MUTED')
        and c.deleted_at is null
        and (c.type = 'DIRECT' or c.member_count <= _max_members)
      limit _max_channels
    ),
    s.status_text::text, s.expires_at
  from unnest(_tenant_ids, _user_ids) as u(tenant_id, user_id)
  left join user_statuses s
    on s.tenant_id = u.tenant_id
    and s.user_id = u.user_id
    and s.status_text != ''
    and (s.expires_at is null or s.expires_at > now_ms());
end
$$;
comment on function presence_audiences(bigint[], bigint[], int, int) is
  'Who is told of these users'' presence: their channels of at most _max_members members, and all direct ones, at most _max_channels of each user; and the texts they chose. Of several tenants, for one round of news.';

create function member_ids(_channel_id bigint, _after bigint, _limit int) returns bigint[]
language plpgsql stable security definer
set search_path = public, pg_temp
as $$
begin
  if not exists (
    select 1
    from channels c
    where c.id = _channel_id
      and c.tenant_id = app_tenant_id()
      and c.deleted_at is null
  ) then
    return null;
  end if;
  -- A service that acts for a user has that user's rights.
  if not app_is_member(_channel_id) and not (app_is_service() and app_user_id() = 0) then
    return null;
  end if;
  return array(
    select m.user_id
    from channel_members m
    where m.channel_id = _channel_id
      and m.tenant_id = app_tenant_id()
      and m.status in ('ACTIVE', 'MUTED')
      and m.user_id > _after
    order by m.user_id
    limit _limit
  );
end
$$;
comment on function member_ids(bigint, bigint, int) is
  'The next members of a channel by user id, for members and services; null for others. The policy of channel_members would ask for each row whether it may be seen.';

do $$
declare
  _function text;
begin
  foreach _function in array array[
    'user_status_texts(bigint[])',
    'chosen_statuses(bigint[], bigint[])',
    'presence_audiences(bigint[], bigint[], int, int)',
    'member_ids(bigint, bigint, int)'
  ] loop
    execute format('alter function %s owner to discuss_system', _function);
    execute format('revoke all on function %s from public', _function);
    execute format('grant execute on function %s to discuss_service', _function);
  end loop;
end
$$;
