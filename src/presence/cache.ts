import type { Result } from 'ioredis';
import type { Config } from '../config.ts';
import type { RedisClient } from '../redis/client.ts';
import { runScript } from '../redis/script.ts';
import { type Session, type Shown, type StatusName, toShown } from './state.ts';

/**
 * `presence:{user}` is the customer's hash: `status`, `last_seen` (epoch ms) and `device` say how the user stands, for
 * whoever reads it. The service goes by fields of its own, as two tenants may use the same user id:
 *
 *     d:<tenant>:<device>:<session>  <status> <until> <kind> <1 while its stream is open>
 *     c:<tenant>                     <status chosen> <until, 0: always> <version> <when it was last compared>
 *     t:<tenant>                     <status> <next> <end> <last seen> <version>, see `Shown`
 *
 * Every change of a device is one script: it drops devices that have ended, takes in the change, and says how others
 * saw the user before and see them now. Who is told of a difference is the one to pass it on. All times in it are of
 * Redis's clock. It answers `needs before status next end seen version now`.
 */
const CHANGE = `
local key, op, tenant, device, session, kind, status, choice = KEYS[1], unpack(ARGV, 1, 7)
local device_ms, keep_ms, grace_ms, max_devices, check_ms = unpack(ARGV, 8, 12)
local rank = { OFFLINE = 0, AWAY = 1, BUSY = 2, ONLINE = 3 }
local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local now = math.floor(micros / 1000)
local function digits(number) return string.format('%.0f', number) end
local function words(text)
  local found = {}
  for word in string.gmatch(text, '%S+') do found[#found + 1] = word end
  return found
end

local all = 'd:' .. tenant .. ':'
local of_device = all .. device .. ':'
local own = of_device .. session
local fields, devices, gone, tenants, chosen = redis.call('HGETALL', key), {}, {}, {}, nil
for i = 1, #fields, 2 do
  local name, value = fields[i], fields[i + 1]
  if string.sub(name, 1, #all) == all then
    local parts = words(value)
    devices[name] = { status = parts[1], till = tonumber(parts[2]), kind = parts[3], open = parts[4] }
    gone[name] = true
  elseif name == 'c:' .. tenant then
    local parts = words(value)
    chosen = { status = parts[1], till = tonumber(parts[2]), version = tonumber(parts[3]), compared = tonumber(parts[4]) }
  elseif string.sub(name, 1, 2) == 't:' then
    local parts = words(value)
    tenants[string.sub(name, 3)] = { status = parts[1], till = tonumber(parts[3]), seen = tonumber(parts[4]), version = tonumber(parts[5]) }
  end
end

if choice ~= '' then
  local parts = words(choice)
  if not chosen or tonumber(parts[3]) >= chosen.version then
    chosen = { status = parts[1], till = tonumber(parts[2]), version = tonumber(parts[3]) }
  end
  chosen.compared = now
end
if not chosen and (op == 'stream' or op == 'beat') then return '2' end
if #fields == 0 and (op == 'look' or op == 'close') then return '0 OFFLINE OFFLINE 0 0 0 0 ' .. digits(now) end
local compared = chosen or { status = 'ONLINE', till = 0, version = 0, compared = now }

local function of_same_device(change)
  for name, found in pairs(devices) do
    if name ~= own and string.sub(name, 1, #of_device) == of_device then change(name, found) end
  end
end
local function drop_closed(name, found)
  if found.open == '0' then devices[name] = nil end
end
if op == 'stream' then
  local before = devices[own] and devices[own].status
  of_same_device(function(name, found)
    if not before and found.status ~= 'OFFLINE' and found.till > now then before = found.status end
  end)
  of_same_device(drop_closed)
  devices[own] = { status = before or status, till = now + device_ms, kind = kind, open = '1' }
elseif op == 'beat' then
  local streams = false
  of_same_device(function(name, found)
    if found.open == '1' and found.till > now then
      found.status, found.till, streams = status, math.max(found.till, now + device_ms), true
    end
  end)
  of_same_device(drop_closed)
  devices[own] = nil
  if not streams and status ~= 'OFFLINE' then
    devices[own] = { status = status, till = now + device_ms, kind = kind, open = '0' }
  end
elseif op == 'close' and devices[own] and devices[own].open == '1' then
  devices[own].open = '0'
  devices[own].till = math.min(devices[own].till, now + grace_ms)
end

local live = {}
for name, found in pairs(devices) do
  if found.till > now then live[#live + 1] = name else devices[name] = nil end
end
table.sort(live, function(a, b) return devices[a].till > devices[b].till end)
for i = tonumber(max_devices) + 1, #live do devices[live[i]] = nil end

local best, best_kind, soonest, till = 'OFFLINE', '', math.huge, 0
for _, found in pairs(devices) do
  if found.status ~= 'OFFLINE' then
    if rank[found.status] > rank[best] then best, best_kind = found.status, found.kind end
    soonest, till = math.min(soonest, found.till), math.max(till, found.till)
  end
end
local picked = compared.status
if compared.till > 0 and compared.till <= now then picked = 'ONLINE' end
local shown = best
if best ~= 'OFFLINE' and picked ~= 'ONLINE' then shown = picked end
if compared.till > now then soonest = math.min(soonest, compared.till) end
if shown == 'OFFLINE' then soonest, till = 0, 0 end

local was = tenants[tenant] or { status = 'OFFLINE', seen = 0, version = 0 }
local seen, version = was.seen, was.version
-- Who chooses not to be seen was seen until now, like somebody who goes.
if op ~= 'look' and (shown ~= 'OFFLINE' or was.status ~= 'OFFLINE') then seen = now end
if shown ~= was.status or op == 'choose' then version = math.max(version + 1, micros) end
tenants[tenant] = { status = shown, till = till, seen = seen }

local status_of_all, seen_of_all = 'OFFLINE', 0
for _, found in pairs(tenants) do
  if found.till > now and rank[found.status] > rank[status_of_all] then status_of_all = found.status end
  seen_of_all = math.max(seen_of_all, found.seen)
end
local line = table.concat({ shown, digits(soonest), digits(till), digits(seen), digits(version) }, ' ')
local set = { 't:' .. tenant, line, 'status', status_of_all, 'last_seen', digits(seen_of_all) }
local function put(name, value) set[#set + 1] = name; set[#set + 1] = value end
if shown ~= 'OFFLINE' and status_of_all == shown then put('device', best_kind) end
if chosen then
  put('c:' .. tenant, table.concat({ chosen.status, digits(chosen.till), digits(chosen.version), digits(chosen.compared) }, ' '))
end
for name, found in pairs(devices) do
  gone[name] = nil
  put(name, table.concat({ found.status, digits(found.till), found.kind, found.open }, ' '))
end
for name in pairs(gone) do redis.call('HDEL', key, name) end
redis.call('HSET', key, unpack(set))
redis.call('PEXPIRE', key, keep_ms)
local needs = op ~= 'look' and compared.compared + check_ms <= now and '1' or '0'
return table.concat({ needs, was.status, line, digits(now) }, ' ')
`;

declare module 'ioredis' {
  interface RedisCommander<Context> {
    changePresence(key: string, ...args: (string | number)[]): Result<string, Context>;
  }
}

export type Change =
  /** A stream is open. */
  | { readonly op: 'stream' | 'close'; readonly session: Session; readonly choice?: string }
  /** A device without stream is there, or one with a stream has another status. */
  | {
      readonly op: 'beat';
      readonly session: Session;
      readonly status: StatusName;
      readonly choice?: string;
    }
  /** The user chose something, or what they chose was read anew. */
  | { readonly op: 'choose'; readonly choice: string }
  /** Something may have ended by itself. */
  | { readonly op: 'look'; readonly choice?: string };

export type Changed = {
  /** `none`: what the user chose must be read first, and nothing was changed; `old`: it should be read again. */
  readonly choice: 'known' | 'old' | 'none';
  readonly before: StatusName;
  readonly shown: Shown;
  /** Redis's clock, epoch ms. */
  readonly at: number;
};

/** `known`: whether Redis holds anything of the user. */
type Read = readonly ({ readonly shown: Shown; readonly known: boolean } | 'failed')[];

export type PresenceCache = ReturnType<typeof createPresenceCache>;

export function createPresenceCache(redis: RedisClient, config: Config['presence']) {
  redis.defineCommand('changePresence', { lua: CHANGE, numberOfKeys: 1 });
  const limits = [config.deviceTtlMs, config.ttlMs, config.graceMs, config.maxDevices, config.ttlMs];
  return {
    async change(tenantId: bigint, userId: bigint, change: Change): Promise<Changed> {
      const session = 'session' in change ? change.session : undefined;
      const reply = await runScript(() =>
        redis.changePresence(
          presenceKey(userId),
          change.op,
          `${tenantId}`,
          session?.device ?? '',
          session?.id ?? '',
          session?.kind ?? '',
          'status' in change ? change.status : 'ONLINE',
          change.choice ?? '',
          ...limits,
        ),
      );
      const [needs = '', before = '', ...rest] = reply.split(' ');
      return {
        choice: needs === '2' ? 'none' : needs === '1' ? 'old' : 'known',
        before: toShown(before).status,
        shown: toShown(rest.slice(0, 5).join(' ')),
        at: Number(rest[5] ?? 0),
      };
    },

    /**
     * How others see users, in the order asked; `failed` where the node of the cluster that has them does not answer.
     * Who has gone long ago, and who is there unseen, must look alike.
     */
    async read(tenantId: bigint, userIds: readonly bigint[]): Promise<Read> {
      const [asOf, ...lines] = await Promise.all([
        findTime(redis),
        ...userIds.map((userId) =>
          redis.hget(presenceKey(userId), `t:${tenantId}`).catch(() => 'failed' as const),
        ),
      ]);
      const now = Number(asOf / 1_000n);
      const gone: Shown = { status: 'OFFLINE', next: 0, end: 0, seen: 0, version: asOf };
      return lines.map((line) => {
        if (line === 'failed') return line;
        if (line === null) return { shown: gone, known: false };
        const shown = toShown(line);
        if (shown.end > now) return { shown, known: true };
        if (now - shown.seen >= config.ttlMs) return { shown: gone, known: true };
        const version = shown.status === 'OFFLINE' ? shown.version : asOf;
        return { shown: { ...gone, seen: shown.seen, version }, known: true };
      });
    },
  };
}

/** Redis's clock, in µs; in a cluster, where the node that is asked may be dead, perhaps our own. */
async function findTime(redis: RedisClient): Promise<bigint> {
  try {
    const [seconds = 0, micros = 0] = await redis.time();
    return BigInt(seconds) * 1_000_000n + BigInt(micros);
  } catch {
    return BigInt(Date.now()) * 1_000n;
  }
}

function presenceKey(userId: bigint): string {
  return `presence:${userId}`;
}
