-- Removes the messages of a channel after a change. The head stays, and rejects states from before the change.
-- KEYS: the messages, their head
-- ARGV: TTL in seconds, seq of the change
local head = redis.call('get', KEYS[2])
if head and tonumber(string.match(head, '^%d+')) >= tonumber(ARGV[2]) then return end
redis.call('del', KEYS[1])
redis.call('set', KEYS[2], ARGV[2], 'ex', ARGV[1])
