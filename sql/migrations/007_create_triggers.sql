-- Functions of triggers run as discuss_system (011): who leaves a channel can no longer see it, so
-- under row-level security the caller's own rights would not reach the counters.

create function assign_post_seq() returns trigger
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
  _last_message_id bigint;
begin
  -- Takes the channel's row lock, which send_messages() takes for its whole batch.
  update channels c
  set post_seq = c.post_seq + 1,
      last_message_id = greatest(c.last_message_id, new.id)
  where c.id = new.channel_id
  returning c.post_seq, c.last_message_id into new.post_seq, _last_message_id;

  if not found then
    raise exception 'channel % does not exist', new.channel_id
      using errcode = 'foreign_key_violation', constraint = 'messages_channel_id_fkey';
  end if;
  if _last_message_id != new.id then
    raise exception 'message % would come after message % of its channel', new.id, _last_message_id
      using errcode = 'serialization_failure', hint = 'Insert the messages of a channel in the order of their ids.';
  end if;

  update channel_members m
  set own_posts = m.own_posts + 1
  where m.channel_id = new.channel_id
    and m.user_id = new.sender_id;

  return new;
end
$$;
comment on function assign_post_seq() is
  'Numbers a message inserted without post_seq (imports, plain SQL) and counts it for channel and sender. Who gives post_seq keeps channels.post_seq, last_message_id and channel_members.own_posts himself.';

create trigger trigger_assign_post_seq
before insert on messages
for each row
when (new.post_seq is null)
execute function assign_post_seq();
comment on trigger trigger_assign_post_seq on messages is 'Numbers messages that come without a number.';

-- Sending calls it never: a message is unread by its post_seq alone. Only what counts for nobody is
-- noted, so the cost of a message does not depend on the number of members.
create function update_unread_counts() returns trigger
language plpgsql security definer
set search_path = public, pg_temp
as $$
begin
  if tg_op = 'DELETE' then
    -- Locks in id order; a channel that is being removed with its messages is gone already.
    perform 1
    from channels c
    where c.id in (select r.channel_id from removed r where not r.is_deleted)
    order by c.id
    for no key update;

    insert into deleted_posts (channel_id, post_seq, tenant_id, sender_id)
    select r.channel_id, r.post_seq, r.tenant_id, r.sender_id
    from removed r
    join channels c on c.id = r.channel_id
    where not r.is_deleted
    on conflict do nothing;

    update channels c
    set unread_version = c.unread_version + 1
    where c.id in (select r.channel_id from removed r where not r.is_deleted);
    return null;
  end if;

  update channels c
  set unread_version = c.unread_version + 1
  where c.id = new.channel_id;

  if new.is_deleted then
    insert into deleted_posts (channel_id, post_seq, tenant_id, sender_id)
    values (new.channel_id, new.post_seq, new.tenant_id, new.sender_id)
    on conflict do nothing;
  else
    delete from deleted_posts d
    where d.channel_id = new.channel_id
      and d.post_seq = new.post_seq;
  end if;
  return null;
end
$$;
comment on function update_unread_counts() is
  'Keeps deleted_posts, from which unread numbers are derived, and tells settle_unread() that they changed.';

create trigger trigger_update_unread_counts
after insert on messages
for each row
when (new.is_deleted)
execute function update_unread_counts();
comment on trigger trigger_update_unread_counts on messages is 'Notes a message that was inserted as deleted.';

create trigger trigger_update_unread_counts_on_update
after update of is_deleted on messages
for each row
when (old.is_deleted is distinct from new.is_deleted)
execute function update_unread_counts();
comment on trigger trigger_update_unread_counts_on_update on messages is 'Notes a message that gets deleted, or comes back.';

create trigger trigger_update_unread_counts_on_delete
after delete on messages
referencing old table as removed
for each statement
execute function update_unread_counts();
comment on trigger trigger_update_unread_counts_on_delete on messages is 'Notes messages that are removed without having been deleted before.';

create function update_channel_stats() returns trigger
language plpgsql security definer
set search_path = public, pg_temp
as $$
begin
  if tg_op = 'INSERT' then
    update channels c
    set message_count = c.message_count + s.messages,
        last_message_at = greatest(c.last_message_at, s.last_at),
        updated_at = greatest(c.updated_at, s.last_at),
        unread_version = c.unread_version + 1
    from (
      select p.channel_id, count(*)::int as messages, max(p.created_at) as last_at
      from posted p
      group by p.channel_id
    ) as s
    where c.id = s.channel_id;
  else
    perform 1
    from channels c
    where c.id in (select r.channel_id from removed r)
    order by c.id
    for no key update;

    update channels c
    set message_count = greatest(0, c.message_count - s.messages),
        updated_at = now_ms()
    from (
      select r.channel_id, count(*)::int as messages
      from removed r
      group by r.channel_id
    ) as s
    where c.id = s.channel_id;
  end if;
  return null;
end
$$;
comment on function update_channel_stats() is
  'Keeps message_count, last_message_at and updated_at of channels, one update per channel and statement.';

create trigger trigger_update_channel_stats
after insert on messages
referencing new table as posted
for each statement
execute function update_channel_stats();
comment on trigger trigger_update_channel_stats on messages is 'Counts new messages.';

-- One trigger per operation, as transition tables do not allow two in one.
create trigger trigger_update_channel_stats_on_delete
after delete on messages
referencing old table as removed
for each statement
execute function update_channel_stats();
comment on trigger trigger_update_channel_stats_on_delete on messages is 'Counts off messages removed for good.';

create function update_member_count() returns trigger
language plpgsql security definer
set search_path = public, pg_temp
as $$
begin
  if tg_op = 'INSERT' then
    update channels c
    set member_count = c.member_count + s.members
    from (
      select a.channel_id, count(*)::int as members
      from added a
      where a.status = 'ACTIVE'
      group by a.channel_id
    ) as s
    where c.id = s.channel_id;
  elsif tg_op = 'UPDATE' then
    update channels c
    set member_count = greatest(0, c.member_count + s.members)
    from (
      select
        n.channel_id,
        (count(*) filter (where n.status = 'ACTIVE') - count(*) filter (where o.status = 'ACTIVE'))::int as members
      from before_change o
      join after_change n on n.id = o.id
      where n.status != o.status
      group by n.channel_id
    ) as s
    where c.id = s.channel_id
      and s.members != 0;
  else
    update channels c
    set member_count = greatest(0, c.member_count - s.members)
    from (
      select r.channel_id, count(*)::int as members
      from removed r
      where r.status = 'ACTIVE'
      group by r.channel_id
    ) as s
    where c.id = s.channel_id;
  end if;
  return null;
end
$$;
comment on function update_member_count() is
  'Keeps channels.member_count: members with status ACTIVE, counted at every change of status, rejoining included.';

create trigger trigger_update_member_count
after insert on channel_members
referencing new table as added
for each statement
execute function update_member_count();
comment on trigger trigger_update_member_count on channel_members is 'Counts new members.';

create trigger trigger_update_member_count_on_update
after update on channel_members
referencing old table as before_change new table as after_change
for each statement
execute function update_member_count();
comment on trigger trigger_update_member_count_on_update on channel_members is 'Counts members whose status changes.';

create trigger trigger_update_member_count_on_delete
after delete on channel_members
referencing old table as removed
for each statement
execute function update_member_count();
comment on trigger trigger_update_member_count_on_delete on channel_members is 'Counts off removed rows.';

create function settle_member_unread() returns trigger
language plpgsql security definer
set search_path = public, pg_temp
as $$
begin
  select derived_unread(c.id, new.user_id, c.post_seq, new.read_post_seq, new.own_posts, new.own_posts_read)
  into new.unread_count
  from channels c
  where c.id = new.channel_id;
  -- Without its channel the row fails at the foreign key, not here.
  new.unread_count := coalesce(new.unread_count, 0);
  return new;
end
$$;
comment on function settle_member_unread() is
  'Stores the exact unread number whenever a membership begins, ends or moves its read marker.';

create trigger trigger_settle_member_unread
before insert or update of status, last_read_msg_id, read_post_seq, own_posts_read on channel_members
for each row
execute function settle_member_unread();
comment on trigger trigger_settle_member_unread on channel_members is 'Settles unread_count with every move of the read marker.';

create function settle_unread(p_limit int) returns int
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
  _start bigint;
  _channel_ids bigint[];
  _versions bigint[];
  _differing bigint[];
  _locked bigint[];
  _mended int;
begin
  -- One at a time over all instances; the others have nothing to add.
  if not pg_try_advisory_xact_lock(hashtext('discuss.settle_unread')) then
    return 0;
  end if;

  -- A random start, so that a channel that is never quiet does not keep the others waiting.
  select floor(random() * (last_value + 1))::bigint into _start from channels_id_seq;

  -- As many channels as have about p_limit members together, and one at least.
  with candidates as (
    (
      select 1 as pass, c.id, c.unread_version, c.member_count
      from channels c
      where c.unread_version != c.settled_version and c.id >= _start
      order by c.id
      limit p_limit
    )
    union all
    (
      select 2 as pass, c.id, c.unread_version, c.member_count
      from channels c
      where c.unread_version != c.settled_version and c.id < _start
      order by c.id
      limit p_limit
    )
  ),
  budgeted as (
    select
      a.id, a.unread_version,
      sum(a.member_count) over (order by a.pass, a.id) - a.member_count as members_before,
      row_number() over (order by a.pass, a.id) as place
    from candidates a
  )
  select array_agg(b.id), array_agg(b.unread_version)
  into _channel_ids, _versions
  from budgeted b
  where b.members_before < p_limit
    and b.place <= p_limit;

  -- Deleted messages after a marker by binary search in one sorted list per channel: asking the table
  -- for each of 10,000 members took 1.3 s with 1,000 deleted messages.
  with deleted as materialized (
    select d.channel_id, array_agg(d.post_seq order by d.post_seq) as posts
    from deleted_posts d
    where d.channel_id = any(_channel_ids)
    group by d.channel_id
  ),
  deleted_own as materialized (
    select d.channel_id, d.sender_id, array_agg(d.post_seq order by d.post_seq) as posts
    from deleted_posts d
    where d.channel_id = any(_channel_ids)
    group by d.channel_id, d.sender_id
  )
  select array_agg(f.id)
  into _differing
  from (
    select m.id
    from channels c
    join channel_members m on m.channel_id = c.id and m.status in ('ACTIVE', 'MUTED')
    left join deleted d on d.channel_id = c.id
    left join deleted_own o on o.channel_id = c.id and o.sender_id = m.user_id
    where c.id = any(_channel_ids)
      and m.unread_count != greatest(
        0,
        c.post_seq
        - m.read_post_seq
        - (m.own_posts - m.own_posts_read)
        - coalesce(cardinality(d.posts) - width_bucket(m.read_post_seq, d.posts), 0)
        + coalesce(cardinality(o.posts) - width_bucket(m.read_post_seq, o.posts), 0)
      )
    limit p_limit + 1
  ) as f;

  -- Members are locked here without the lock of their channel, against the usual order: so wait for
  -- nobody. Computing comes after locking, or a marker that moved in between would be overwritten.
  select array_agg(l.id)
  into _locked
  from (
    select m.id
    from channel_members m
    where m.id = any(_differing[:p_limit])
    for no key update skip locked
  ) as l;

  update channel_members m
  set unread_count = derived_unread(
    m.channel_id, m.user_id, c.post_seq, m.read_post_seq, m.own_posts, m.own_posts_read
  )
  from channels c
  where c.id = m.channel_id
    and m.id = any(_locked);
  get diagnostics _mended = row_count;

  -- What was skipped or cut off leaves its channels unsettled for the next call, and so does a
  -- change since the versions were read.
  if coalesce(cardinality(_differing), 0) <= _mended then
    update channels c
    set settled_version = s.version
    from unnest(_channel_ids, _versions) as s(id, version)
    where c.id = s.id
      and c.id in (
        select l.id
        from channels l
        where l.id = any(_channel_ids)
        for no key update skip locked
      );
  end if;

  return _mended;
end
$$;
comment on function settle_unread(int) is
  'Writes the exact unread number into up to p_limit memberships of channels that changed, and returns how many. Call it every few seconds; it waits for no lock and does nothing where another call is at work.';
