create or replace function search_scope(_id bigint, _tenant_id bigint, _channel_id bigint, _sender_id bigint, _type text)
returns bigint[]
language sql immutable parallel safe
return array[
  _tenant_id << 3,
  _channel_id * 8 + 1,
  _sender_id << 3 | 2,
  (_id >> 13) * 8 + 3,
  (_id >> 18) * 8 + 4,
  case _type when 'TEXT' then 5 when 'IMAGE' then 13 when 'FILE' then 21 when 'SYSTEM' then 29 when 'CODE' then 37 else 45 end
];
comment on function search_scope(bigint, bigint, bigint, bigint, text) is
  'Scope of a message as tokens of idx_messages_search: tenant, channel, sender, its spans of 8,192 and of 262,144 ids, and type. The last three bits of a token state its kind. Users and tenants whose ids differ only in their first three bits have the same token.';
