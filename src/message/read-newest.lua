-- Reads the newest messages of a channel. Members of the sorted set with the same score, a ms, are in no useful order,
-- so all of them are read and sorted by the caller.
-- KEYS: the messages, their head
-- Returns head: '<head seq> <version> <messages> <1 when the channel has older ones>'; messages: a JSON array.
-- Nothing when there is no head.
local head = redis.call('get', KEYS[2])
if not head then return {} end
return { 'head', head, 'messages', '[' .. table.concat(redis.call('zrange', KEYS[1], 0, -1), ',') .. ']' }
