-- Applies a change to one of a user's devices, or to the status override, and derives how the users of a tenant see
-- that user. Removes devices that have expired. All times are epoch ms of this server's clock.
-- KEYS: presence:<user>, the customer's hash: `status`, `last_seen` and `device` for any reader. The service uses
-- fields of its own, because two tenants may use the same user id:
--   d:<tenant>:<device>:<session>  '<status> <expiry> <kind> <1 while its stream is open>'
--   c:<tenant>                     '<status override> <expiry, 0: never> <version> <last comparison with the database>'
--   t:<tenant>                     '<status> <next change> <end> <last seen> <version>', see PresenceState
-- ARGV: operation (open, close, heartbeat, override, refresh), tenant, device, session, kind, status, override ('' or
-- '<status> <expiry> <version>'), lifetime of a device, TTL of the hash, grace time, limit of devices, ms after which
-- the override is compared again
-- Returns override: `current`; `stale`, to be compared with the database; `missing`, nothing was changed because the
-- override must be passed in. before: the status before. state: the new value of t:<tenant>. now: the server's clock
local key, operation, tenant, device, session, kind, status, override = KEYS[1], unpack(ARGV, 1, 7)
local device_ms, ttl_ms, grace_ms, max_devices, compare_ms = unpack(ARGV, 8, 12)
local rank = { OFFLINE = 0, AWAY = 1, BUSY = 2, ONLINE = 3 }
local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local now = math.floor(micros / 1000)
local function digits(number) return string.format('%.0f', number) end
local function split(text)
  local parts = {}
  for part in string.gmatch(text, '%S+') do parts[#parts + 1] = part end
  return parts
end

local tenant_prefix = 'd:' .. tenant .. ':'
local device_prefix = tenant_prefix .. device .. ':'
local own = device_prefix .. session
local fields, devices, removed, tenants, stored = redis.call('HGETALL', key), {}, {}, {}, nil
for i = 1, #fields, 2 do
  local name, parts = fields[i], split(fields[i + 1])
  if string.sub(name, 1, #tenant_prefix) == tenant_prefix then
    devices[name] = { status = parts[1], expiry = tonumber(parts[2]), kind = parts[3], open = parts[4] }
    removed[name] = true
  elseif name == 'c:' .. tenant then
    stored = { status = parts[1], expiry = tonumber(parts[2]), version = tonumber(parts[3]), compared = tonumber(parts[4]) }
  elseif string.sub(name, 1, 2) == 't:' then
    tenants[string.sub(name, 3)] = { status = parts[1], expiry = tonumber(parts[3]), seen = tonumber(parts[4]), version = tonumber(parts[5]) }
  end
end

if override ~= '' then
  local parts = split(override)
  if not stored or tonumber(parts[3]) >= stored.version then
    stored = { status = parts[1], expiry = tonumber(parts[2]), version = tonumber(parts[3]) }
  end
  stored.compared = now
end
local function reply(state_of_override, before, state)
  return { 'override', state_of_override, 'before', before, 'state', state, 'now', digits(now) }
end
if not stored and (operation == 'open' or operation == 'heartbeat') then return reply('missing', 'OFFLINE', '') end
if #fields == 0 and (operation == 'refresh' or operation == 'close') then return reply('current', 'OFFLINE', '') end
local current = stored or { status = 'ONLINE', expiry = 0, version = 0, compared = now }

local function for_sessions_of_device(visit)
  for name, found in pairs(devices) do
    if name ~= own and string.sub(name, 1, #device_prefix) == device_prefix then visit(name, found) end
  end
end
local function remove_closed(name, found)
  if found.open == '0' then devices[name] = nil end
end
if operation == 'open' then
  local before = devices[own] and devices[own].status
  for_sessions_of_device(function(_, found)
    if not before and found.status ~= 'OFFLINE' and found.expiry > now then before = found.status end
  end)
  for_sessions_of_device(remove_closed)
  devices[own] = { status = before or status, expiry = now + device_ms, kind = kind, open = '1' }
elseif operation == 'heartbeat' then
  local has_stream = false
  for_sessions_of_device(function(_, found)
    if found.open == '1' and found.expiry > now then
      found.status, found.expiry, has_stream = status, math.max(found.expiry, now + device_ms), true
    end
  end)
  for_sessions_of_device(remove_closed)
  devices[own] = nil
  if not has_stream and status ~= 'OFFLINE' then
    devices[own] = { status = status, expiry = now + device_ms, kind = kind, open = '0' }
  end
elseif operation == 'close' and devices[own] and devices[own].open == '1' then
  devices[own].open = '0'
  devices[own].expiry = math.min(devices[own].expiry, now + grace_ms)
end

local live = {}
for name, found in pairs(devices) do
  if found.expiry > now then live[#live + 1] = name else devices[name] = nil end
end
table.sort(live, function(a, b) return devices[a].expiry > devices[b].expiry end)
for i = tonumber(max_devices) + 1, #live do devices[live[i]] = nil end

local highest, highest_kind, next_change, last_expiry = 'OFFLINE', '', math.huge, 0
for _, found in pairs(devices) do
  if found.status ~= 'OFFLINE' then
    if rank[found.status] > rank[highest] then highest, highest_kind = found.status, found.kind end
    next_change, last_expiry = math.min(next_change, found.expiry), math.max(last_expiry, found.expiry)
  end
end
local overriding = current.status
if current.expiry > 0 and current.expiry <= now then overriding = 'ONLINE' end
local visible = highest
if highest ~= 'OFFLINE' and overriding ~= 'ONLINE' then visible = overriding end
if current.expiry > now then next_change = math.min(next_change, current.expiry) end
if visible == 'OFFLINE' then next_change, last_expiry = 0, 0 end

local before = tenants[tenant] or { status = 'OFFLINE', seen = 0, version = 0 }
local seen, version = before.seen, before.version
-- A user who chooses to appear offline was last seen now, like a user who disconnects.
if operation ~= 'refresh' and (visible ~= 'OFFLINE' or before.status ~= 'OFFLINE') then seen = now end
if visible ~= before.status or operation == 'override' then version = math.max(version + 1, micros) end
tenants[tenant] = { status = visible, expiry = last_expiry, seen = seen }

local status_of_all, seen_of_all = 'OFFLINE', 0
for _, found in pairs(tenants) do
  if found.expiry > now and rank[found.status] > rank[status_of_all] then status_of_all = found.status end
  seen_of_all = math.max(seen_of_all, found.seen)
end
local state = table.concat({ visible, digits(next_change), digits(last_expiry), digits(seen), digits(version) }, ' ')
local written = { 't:' .. tenant, state, 'status', status_of_all, 'last_seen', digits(seen_of_all) }
local function put(name, value)
  written[#written + 1] = name
  written[#written + 1] = value
end
if visible ~= 'OFFLINE' and status_of_all == visible then put('device', highest_kind) end
if stored then
  put('c:' .. tenant, table.concat({ stored.status, digits(stored.expiry), digits(stored.version), digits(stored.compared) }, ' '))
end
for name, found in pairs(devices) do
  removed[name] = nil
  put(name, table.concat({ found.status, digits(found.expiry), found.kind, found.open }, ' '))
end
for name in pairs(removed) do redis.call('HDEL', key, name) end
redis.call('HSET', key, unpack(written))
redis.call('PEXPIRE', key, ttl_ms)
local is_stale = operation ~= 'refresh' and current.compared + compare_ms <= now
return reply(is_stale and 'stale' or 'current', before.status, state)
