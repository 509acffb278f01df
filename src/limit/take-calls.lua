-- GCRA, the generic cell rate algorithm (ITU-T Recommendation I.371, annex A): a bucket is one number, the theoretical
-- arrival time (TAT) at which it will be full again. A call moves it forward by 1 / rate, and is rejected when that
-- would put it further ahead than the bucket's burst. Takes a call from each bucket, or from none when one of them is empty.
-- Then leases more calls of a bucket, up to a share of those that it contains: the nearer its limit, the fewer. Those that it
-- would contain again soon are leased beyond the wanted ones, because they would lapse before they are spent.
-- KEYS: buckets, of one tenant; each holds its TAT in µs of this server's clock since EPOCH, and expires when full
-- ARGV: share; then for each bucket its calls per minute, its burst in ms (it holds at least one call) and the calls to lease
-- Returns exceeded: position of the empty bucket, from 1; 0 when there is none; wait_us: until it has a call again; leases: for
-- each bucket the leased calls, and in how many µs the bucket would have contained the first one again
local EPOCH, MINUTE, SOON = 1700000000, 60000000, 500000
local time = redis.call('TIME')
local now = (time[1] - EPOCH) * 1000000 + time[2]
local share, tats, leases = tonumber(ARGV[1]), {}, {}
for i = 1, #KEYS do
  local tat = tonumber(redis.call('GET', KEYS[i]) or now)
  -- The upper bound is for a clock that was set back: calls do not wait until it has caught up.
  local call = MINUTE / tonumber(ARGV[3 * i - 1])
  local capacity = math.max(tonumber(ARGV[3 * i]) * 1000, call)
  tats[i] = math.min(math.max(tat, now), now + capacity) + call
  local excess = tats[i] - now - capacity
  -- Half a µs is tolerated, so that rounding does not cost the last call.
  if excess > 0.5 then return { 'exceeded', i, 'wait_us', math.ceil(excess) } end
  local lease = tonumber(ARGV[3 * i + 1])
  if lease > 0 then
    lease = math.max(lease, math.ceil((now + SOON - tats[i]) / call))
    lease = math.max(math.min(lease, math.floor(share * -excess / call)), 0)
  end
  leases[2 * i - 1], leases[2 * i] = lease, math.floor(tats[i] - now)
  tats[i] = tats[i] + leases[2 * i - 1] * call
end
for i = 1, #KEYS do
  redis.call('SET', KEYS[i], string.format('%.17g', tats[i]), 'PX', math.ceil((tats[i] - now) / 1000))
end
return { 'exceeded', 0, 'leases', leases }
