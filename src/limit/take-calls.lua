-- GCRA, the generic cell rate algorithm (ITU-T Recommendation I.371, annex A): a bucket is one number, the theoretical
-- arrival time (TAT) at which it will be full again. A call moves it forward by 1 / rate, and is rejected when that
-- would put it further ahead than the bucket's burst. Takes a call from each bucket, or from none when one of them is empty.
-- KEYS: buckets, of one tenant; each holds its TAT in µs of this server's clock since EPOCH, and expires when full
-- ARGV: for each bucket its calls per minute and its burst in ms; it holds at least one call
-- Returns exceeded: position of the empty bucket, from 1; 0 when there is none; wait_us: until it has a call again
local EPOCH, MINUTE = 1700000000, 60000000
local time = redis.call('TIME')
local now = (time[1] - EPOCH) * 1000000 + time[2]
local tats = {}
for i = 1, #KEYS do
  local tat = tonumber(redis.call('GET', KEYS[i]) or now)
  -- The upper bound is for a clock that was set back: calls do not wait until it has caught up.
  local call = MINUTE / tonumber(ARGV[2 * i - 1])
  local capacity = math.max(tonumber(ARGV[2 * i]) * 1000, call)
  tats[i] = math.min(math.max(tat, now), now + capacity) + call
  local excess = tats[i] - now - capacity
  -- Half a µs is tolerated, so that rounding does not cost the last call.
  if excess > 0.5 then return { 'exceeded', i, 'wait_us', math.ceil(excess) } end
end
for i = 1, #KEYS do
  redis.call('SET', KEYS[i], string.format('%.17g', tats[i]), 'PX', math.ceil((tats[i] - now) / 1000))
end
return { 'exceeded', 0, 'wait_us', 0 }
