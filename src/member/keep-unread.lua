-- Stores unread counts of a user. Channels that were left or read remain, so both hashes are cleared when they exceed
-- the given size, and when the epoch changes.
-- KEYS: counts by channel, their states
-- ARGV: maximum size, epoch, then for each channel: id, unread count, '<state> <unread> <mentions>'
if redis.call('hget', KEYS[2], 'epoch') ~= ARGV[2] or redis.call('hlen', KEYS[2]) > tonumber(ARGV[1]) then
  redis.call('del', KEYS[1], KEYS[2])
  redis.call('hset', KEYS[2], 'epoch', ARGV[2])
end
for i = 3, #ARGV, 3 do
  redis.call('hset', KEYS[1], ARGV[i], ARGV[i + 1])
  redis.call('hset', KEYS[2], ARGV[i], ARGV[i + 2])
end
