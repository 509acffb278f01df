-- Reads the unread counts of a user. The hash of states repeats each count, so that a count which another program
-- wrote is not used.
-- KEYS: counts by channel, their states: epoch and '<state> <unread> <mentions>' by channel
-- Returns epoch; channel_ids, states, unread and mentions: PostgreSQL arrays of equal length
local counts = {}
local fields = redis.call('hgetall', KEYS[1])
for i = 1, #fields, 2 do counts[fields[i]] = fields[i + 1] end
local ids, states, unread, mentions = {}, {}, {}, {}
fields = redis.call('hgetall', KEYS[2])
for i = 1, #fields, 2 do
  local state, count, mentioned = string.match(fields[i + 1], '^(%S+) (%d+) (%d+)$')
  if state and counts[fields[i]] == count then
    local n = #ids + 1
    ids[n], states[n], unread[n], mentions[n] = fields[i], state, count, mentioned
  end
end
local function array(items) return '{' .. table.concat(items, ',') .. '}' end
return {
  'epoch', redis.call('hget', KEYS[2], 'epoch') or '',
  'channel_ids', array(ids), 'states', array(states), 'unread', array(unread), 'mentions', array(mentions)
}
