create or replace function now_ms() returns bigint
language sql volatile parallel safe
return floor(extract(epoch from clock_timestamp()) * 1000)::bigint;
comment on function now_ms() is 'The database clock in epoch milliseconds, the unit of every time column.';
