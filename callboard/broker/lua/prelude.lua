-- What all scripts share. KEYS[1] is the namespace in braces: one hash slot, so that Redis Cluster works.
local ns = KEYS[1]
local function key(kind, name) return ns .. ':' .. kind .. ':' .. name end
local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
-- The bell of a queue is a list of at most one element: an idle worker blocks on it.
local function ring(queue)
  local bell = key('bell', queue)
  if redis.call('LLEN', bell) == 0 then redis.call('RPUSH', bell, '1') end
end
-- A stored message is "<priority>\n<body>".
local function level(stored) return string.match(stored, '^(%-?%d+)\n') end
local function make_ready(queue, priority, id, push)
  local list = key('ready', queue) .. ':' .. priority
  if redis.call(push, list, id) == 1 then redis.call('ZADD', key('levels', queue), priority, priority) end
end
local function note_due(queue)
  local head = redis.call('ZRANGE', key('later', queue), 0, 0, 'WITHSCORES')
  if head[1] then redis.call('ZADD', ns .. ':due', head[2], queue) else redis.call('ZREM', ns .. ':due', queue) end
end
-- False when the queue holds a message of this id already.
local function put(now, queue, priority, id, body, delay)
  if redis.call('HSETNX', key('msgs', queue), id, priority .. '\n' .. body) == 0 then return false end
  if delay < 0 then
    make_ready(queue, priority, id, 'RPUSH')
  else
    redis.call('ZADD', key('later', queue), now + delay, id)
    note_due(queue)
  end
  return true
end
local function give_back(queue, id)
  local stored = redis.call('HGET', key('msgs', queue), id)
  if stored then make_ready(queue, level(stored), id, 'LPUSH') end
  return stored
end
-- Make ready what is due, at most `limit` messages; returns the milliseconds until the next is due, or -1.
local function promote(now, limit)
  while true do
    local head = redis.call('ZRANGE', ns .. ':due', 0, 0, 'WITHSCORES')
    if not head[1] then return -1 end
    local wait = tonumber(head[2]) - now
    if wait > 0 or limit <= 0 then return math.max(wait, 0) end
    local queue = head[1]
    local ids = redis.call('ZRANGE', key('later', queue), '-inf', now, 'BYSCORE', 'LIMIT', 0, math.min(limit, 200))
    for _, id in ipairs(ids) do
      local stored = redis.call('HGET', key('msgs', queue), id)
      if stored then make_ready(queue, level(stored), id, 'RPUSH') end
    end
    if ids[1] then redis.call('ZREM', key('later', queue), unpack(ids)) end
    limit = limit - math.max(#ids, 1)
    note_due(queue)
    ring(queue)
  end
end
