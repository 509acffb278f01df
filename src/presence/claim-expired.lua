-- Takes users whose presence may have changed by itself. They become due again when the lease ends, for the case that
-- the caller dies before it has refreshed them.
-- KEYS: online_users:<tenant>
-- ARGV: limit of users, ms that the lease lasts
-- Returns expired: ids of users; online: number of users in the set
local time = redis.call('TIME')
local now = math.floor((time[1] * 1000000 + time[2]) / 1000)
local expired = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
for _, user in ipairs(expired) do redis.call('ZADD', KEYS[1], now + ARGV[2], user) end
return { 'expired', expired, 'online', redis.call('ZCARD', KEYS[1]) }
