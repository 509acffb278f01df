-- By the clock of the database at the moment of the check, and inlined like is_member_status().
create or replace function is_restricted(_status text, _until bigint) returns boolean
language sql volatile parallel safe
return _status = 'MUTED' and coalesce(_until > now_ms(), true);
comment on function is_restricted(text, bigint) is
  'Whether a member with this status and restricted_until may read but not post now. Null without a status.';
