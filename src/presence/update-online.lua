-- Adds users to the set of a tenant's online users, and removes others.
-- KEYS: online_users:<tenant>, a sorted set of user ids by the time at which their presence may change by itself
-- ARGV: TTL of the set; then for each user its id and that time, or -<time> to remove a user whose time is not later.
-- The bound keeps users who came online again since the removal was decided
-- Returns nothing
for i = 2, #ARGV, 2 do
  local user, time = ARGV[i], tonumber(ARGV[i + 1])
  if time > 0 then
    redis.call('ZADD', KEYS[1], time, user)
  else
    local current = redis.call('ZSCORE', KEYS[1], user)
    if current and tonumber(current) <= -time then redis.call('ZREM', KEYS[1], user) end
  end
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return {}
