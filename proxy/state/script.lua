-- The whole of the shared state on the server: one script, so that each call is atomic. Every key begins with KEYS[1],
-- whose braces keep all of one deployment in one slot of a cluster.
--
-- Times are whole microseconds of the server's own clock, so that the clocks of the replicas do not matter.
--   PREFIX:replicas      sorted set: each replica that lives, by the end of its lease
--   PREFIX:held:REPLICA  hash: what it has reserved and not settled, by kind, entry and limit
--   PREFIX:w:LIMIT       hash: a sliding window: the amount of each slot, `u` their sum
--   PREFIX:l:LIMIT       list: the slots of that window in their order
--   PREFIX:n:LIMIT       number: what is in use at once
--   PREFIX:c:LIMIT       hash: a period of the calendar: `s` its beginning, `u` its sum
--   PREFIX:hints         stream: what replicas told each other
-- In the hashes of windows and periods `b` is the time from which they count, and `p` is there once they have their past.
local root, op, call = KEYS[1], ARGV[1], redis.call
local SLOTS, DAY = 1000, 86400000000

local now
if ARGV[2] == '' then
  local t = call('TIME')
  now = t[1] * 1000000 + t[2]
else
  now = tonumber(ARGV[2])  -- a clock of the tests' own
end

-- a whole number as text: neither 1e+15 nor -0, which no command takes
local function text(number) return number == 0 and '0' or string.format('%.0f', number) end
local replicas = root .. ':replicas'

-- the time from which a new counter counts
local began = now

local function begins(hash)
  local known = tonumber(call('HGET', hash, 'b') or now)
  if began < known or call('HEXISTS', hash, 'b') == 0 then call('HSET', hash, 'b', text(began)) end
end

-- ---- counters: each row is kind, limit, most, need, amount, and four numbers of its kind ----------------------------

local function window(name, period)
  local hash, list, width = root .. ':w:' .. name, root .. ':l:' .. name, period / SLOTS
  local first = call('LINDEX', list, 0)
  while first and (first + 1) * width + period <= now do
    call('LPOP', list)
    local gone = call('HGET', hash, first)
    if gone then
      call('HDEL', hash, first)
      call('HINCRBY', hash, 'u', text(-tonumber(gone)))
    end
    first = call('LINDEX', list, 0)
  end
  return hash, list, width
end

-- the beginning and the end of the period that it is now, of the four borders around it that the replica's clock knows
local function period_of(row)
  for i = 8, 6, -1 do
    if now >= row[i] then return row[i], row[i + 1] or row[i] + DAY end
  end
  return row[6], row[7]
end

local function calendar(row)
  local hash = root .. ':c:' .. row[2]
  local from, to = period_of(row)
  local known = call('HMGET', hash, 's', 'u')
  if known[1] and tonumber(known[1]) >= from then return hash, tonumber(known[1]), to, tonumber(known[2] or 0) end
  if known[1] then call('HSET', hash, 's', text(from), 'u', 0) end
  return hash, from, to, 0
end

local function used(row)
  if row[1] == 'n' then return tonumber(call('GET', root .. ':n:' .. row[2]) or 0), 0 end
  if row[1] == 'c' then
    local _, _, to, sum = calendar(row)
    return sum, sum > 0 and to - now or 0
  end
  local hash, list, width = window(row[2], row[6])
  local last = call('LINDEX', list, -1)
  return tonumber(call('HGET', hash, 'u') or 0), last and math.max(0, (last + 1) * width + row[6] - now) or 0
end

local function wait(row)
  local most, need = row[3], row[4]
  local over = (used(row)) + need - most
  if over <= 0 then return 0 end
  if need > most then return -1 end
  if row[1] == 'n' then return 1000000 end
  if row[1] == 'c' then
    local _, to = period_of(row)
    return to - now
  end
  local hash, list, width = window(row[2], row[6])
  for _, slot in ipairs(call('LRANGE', list, 0, -1)) do
    over = over - tonumber(call('HGET', hash, slot) or 0)
    if over <= 0 then return math.max(1, (slot + 1) * width + row[6] - now) end
  end
  return -1
end

-- adds an amount and returns its entry, that is the slot or the period in which it counts
local function add(row, amount)
  if row[1] == 'n' then
    local name = root .. ':n:' .. row[2]
    call('INCRBY', name, amount)
    call('PEXPIRE', name, 7 * DAY / 1000)
    return 0
  end
  if row[1] == 'c' then
    local hash, from, to = calendar(row)
    if call('HSETNX', hash, 's', text(from)) == 1 or began < now then begins(hash) end
    call('HINCRBY', hash, 'u', amount)
    call('PEXPIRE', hash, text(math.ceil((to - now + DAY) / 1000)))
    return from
  end
  local hash, list, width = window(row[2], row[6])
  local slot, last = math.floor(now / width), tonumber(call('LINDEX', list, -1) or -1)
  if slot <= last then
    slot = last
  else
    call('RPUSH', list, text(slot))
    local stays = text(math.ceil((2 * width + row[6]) / 1000))
    call('PEXPIRE', list, stays)
    begins(hash)
    call('PEXPIRE', hash, stays)
  end
  call('HINCRBY', hash, text(slot), amount)
  call('HINCRBY', hash, 'u', amount)
  return slot
end

-- changes what was added before, as far as it still counts
local function change(kind, name, entry, by)
  if by == 0 then return end
  if kind == 'n' then
    local key = root .. ':n:' .. name
    if call('EXISTS', key) == 1 and call('INCRBY', key, text(by)) <= 0 then call('DEL', key) end
  elseif kind == 'c' then
    local hash = root .. ':c:' .. name
    if call('HGET', hash, 's') == entry then call('HINCRBY', hash, 'u', text(by)) end
  else
    local hash = root .. ':w:' .. name
    if call('HEXISTS', hash, entry) == 1 then
      call('HINCRBY', hash, entry, text(by))
      call('HINCRBY', hash, 'u', text(by))
    end
  end
end

-- ---- replicas and what they hold --------------------------------------------------------------------------------------

-- frees what a replica reserved and did not settle
local function drop(replica)
  local held = root .. ':held:' .. replica
  local all = call('HGETALL', held)
  for i = 1, #all, 2 do
    local kind, entry, name = string.match(all[i], '^(%a)|(%d*)|(.*)$')
    change(kind, name, entry, -tonumber(all[i + 1]))
  end
  call('DEL', held)
  call('ZREM', replicas, replica)
end

local function drop_dead()
  local dead = call('ZRANGEBYSCORE', replicas, '-inf', text(now), 'LIMIT', 0, 10)
  for _, replica in ipairs(dead) do drop(replica) end
end

local function hold(replica, row, entry, amount)
  if amount == '0' then return end
  call('HINCRBY', root .. ':held:' .. replica, row[1] .. '|' .. text(entry) .. '|' .. row[2], amount)
end

local function rows_from(index)
  local rows = {}
  for i = index, #ARGV, 9 do
    local row = {ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3]), ARGV[i + 4]}
    for j = 5, 8 do row[j + 1] = tonumber(ARGV[i + j]) end
    rows[#rows + 1] = row
  end
  return rows
end

-- ---- the operations ----------------------------------------------------------------------------------------------------

-- reserve REPLICA rows: all of them or none. A row without a need is added in any case. In place of a replica, @TIME is
-- for what was used while the server was gone, since then: nothing is held, and a new counter counts from that time on.
if op == 'reserve' then
  local replica, answer, fits = ARGV[3], {1, now}, true
  local since = string.match(replica, '^@(%d+)$')
  if since then replica, began = '', math.min(now, tonumber(since)) end
  drop_dead()
  if replica ~= '' and not call('ZSCORE', replicas, replica) then return {-1, now} end
  local rows = rows_from(4)
  for i, row in ipairs(rows) do
    local seconds = row[4] and wait(row) or 0
    answer[4 * i - 1] = seconds
    fits = fits and seconds == 0
  end
  if not fits then answer[1] = 0 end
  for i, row in ipairs(rows) do
    local entry = 0
    if fits then
      entry = add(row, row[5])
      if replica ~= '' then hold(replica, row, entry, row[5]) end
    end
    answer[4 * i + 2] = entry
    answer[4 * i], answer[4 * i + 1] = used(row)
  end
  return answer
end

-- settle REPLICA (kind limit entry reserved actual)*: without an actual amount the reserved one stays
if op == 'settle' then
  local held = root .. ':held:' .. ARGV[3]
  for i = 4, #ARGV, 5 do
    local kind, name, entry, reserved, actual = ARGV[i], ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3]), tonumber(ARGV[i + 4])
    local field = kind .. '|' .. entry .. '|' .. name
    if tonumber(call('HGET', held, field) or 0) >= reserved then
      if reserved > 0 and call('HINCRBY', held, field, text(-reserved)) == 0 then call('HDEL', held, field) end
      change(kind, name, entry, (actual or reserved) - reserved)
    elseif kind ~= 'n' then  -- it was freed, as the replica was taken for dead
      change(kind, name, entry, actual or reserved)
    end
  end
  return 1
end

-- begin OLD NEW LEASE: a replica comes, under a new name where it was here before
if op == 'begin' then
  if ARGV[3] ~= '' then drop(ARGV[3]) end
  call('ZADD', replicas, text(now + ARGV[5]), ARGV[4])
  call('PEXPIRE', replicas, 7 * DAY / 1000)
  drop_dead()
  return {1, now}
end

-- beat REPLICA LEASE LAST: it lives on, and wants what others told after the hint LAST
if op == 'beat' then
  drop_dead()
  if not call('ZSCORE', replicas, ARGV[3]) then return {-1, now} end
  call('ZADD', replicas, text(now + ARGV[4]), ARGV[3])
  call('PEXPIRE', replicas, 7 * DAY / 1000)
  local after = ARGV[5]
  if after == '' then after = text(math.max(0, math.floor(now / 1000) - 600000)) .. '-0' end
  return {1, now, call('XRANGE', root .. ':hints', '(' .. after, '+', 'COUNT', 100)}
end

if op == 'leave' then
  drop(ARGV[3])
  return 1
end

-- tell REPLICA KIND KEY VALUE TTL
if op == 'tell' then
  local hints = root .. ':hints'
  call('XADD', hints, 'MAXLEN', '~', 1000, '*', 'by', ARGV[3], 'kind', ARGV[4], 'key', ARGV[5], 'value', ARGV[6], 'ttl', ARGV[7])
  call('PEXPIRE', hints, DAY / 1000)
  return 1
end

-- look rows: what is used of each, and the time until nothing is
if op == 'look' then
  local answer = {}
  for i, row in ipairs(rows_from(3)) do
    answer[2 * i - 1], answer[2 * i] = used(row)
  end
  return answer
end

-- lacking rows: the time from which each counts, or 0 where it has its past
if op == 'lacking' then
  local answer = {}
  for i, row in ipairs(rows_from(3)) do
    local hash = root .. ':' .. row[1] .. ':' .. row[2]
    if call('HEXISTS', hash, 'p') == 1 then
      answer[i] = 0
    else
      if row[1] == 'c' then
        local _, from, to = calendar(row)
        call('HSETNX', hash, 's', text(from))
        call('PEXPIRE', hash, text(math.ceil((to - now + DAY) / 1000)))
      end
      call('HSETNX', hash, 'b', text(now))
      if row[1] == 'w' then call('PEXPIRE', hash, text(math.ceil(row[6] * 1.002 / 1000))) end
      answer[i] = tonumber(call('HGET', hash, 'b'))
    end
  end
  return answer
end

-- past row (when amount)*: adds what was used before, once
if op == 'past' then
  local row = {ARGV[3], ARGV[4], 0, nil, '0', tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])}
  local hash = root .. ':' .. row[1] .. ':' .. row[2]
  if call('HSETNX', hash, 'p', 1) == 0 then return 0 end
  if row[1] == 'c' then
    local _, from = calendar(row)
    call('HSETNX', hash, 's', text(from))
    for i = 12, #ARGV, 2 do
      if tonumber(ARGV[i]) >= from then call('HINCRBY', hash, 'u', ARGV[i + 1]) end
    end
    return 1
  end
  local _, list, width = window(row[2], row[6])
  local slots = {}
  for _, slot in ipairs(call('LRANGE', list, 0, -1)) do slots[tonumber(slot)] = true end
  for i = 12, #ARGV, 2 do
    local slot = math.floor(math.min(tonumber(ARGV[i]), now) / width)
    if (slot + 1) * width + row[6] > now then
      call('HINCRBY', hash, text(slot), ARGV[i + 1])
      call('HINCRBY', hash, 'u', ARGV[i + 1])
      slots[slot] = true
    end
  end
  local order = {}
  for slot in pairs(slots) do order[#order + 1] = slot end
  table.sort(order)
  call('DEL', list)
  for _, slot in ipairs(order) do call('RPUSH', list, text(slot)) end
  local stays = text(math.ceil((2 * width + row[6]) / 1000))
  call('PEXPIRE', list, stays)
  call('PEXPIRE', hash, stays)
  return 1
end

return redis.error_reply('no such operation')
