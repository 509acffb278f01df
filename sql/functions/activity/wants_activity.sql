create or replace function wants_activity(_is_muted boolean, _notification_level text, _is_mention boolean) returns boolean
language sql immutable parallel safe
return not _is_muted and (_notification_level = 'ALL' or (_notification_level = 'MENTIONS' and _is_mention));
comment on function wants_activity(boolean, text, boolean) is
  'Whether a member with these settings gets an activity: none if muted or at level NONE, mentions only at level MENTIONS.';
