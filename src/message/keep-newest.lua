-- Stores the newest messages of a channel, unless another instance has stored a later state.
-- KEYS: the messages, their head
-- ARGV: TTL in seconds, head seq, head as read-newest.lua returns it, then time and JSON of each message
local head = redis.call('get', KEYS[2])
if head and tonumber(string.match(head, '^%d+')) > tonumber(ARGV[2]) then return end
redis.call('del', KEYS[1])
redis.call('zadd', KEYS[1], unpack(ARGV, 4))
redis.call('expire', KEYS[1], ARGV[1])
redis.call('set', KEYS[2], ARGV[3], 'ex', ARGV[1])
