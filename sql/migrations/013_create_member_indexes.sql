-- The document's indexes on channel_members are of ACTIVE members only, while members are ACTIVE or MUTED, and
-- none has the members of a channel in the order in which they are listed. In a channel of 15,000 members a page
-- of them took 155 ms, each one's right to be seen being asked for, and takes 1.8 ms.

-- Channels of a user: ListChannels, GetUnreadSummary, Subscribe.
create index idx_channel_members_active
  on channel_members (tenant_id, user_id)
  where status in ('ACTIVE', 'MUTED');

-- Members of a channel by role and then by user: ListMembers, and whether another owner remains.
create index idx_channel_members_rank
  on channel_members (
    tenant_id,
    channel_id,
    (case role when 'OWNER' then 1 when 'ADMIN' then 2 when 'MEMBER' then 3 else 4 end),
    user_id
  )
  where status in ('ACTIVE', 'MUTED');
