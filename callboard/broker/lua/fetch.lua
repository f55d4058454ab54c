#!lua flags=allow-oom
-- ARGV: worker, then for each lane: room, number of queues, the queues.
-- Returns {ms until the next delayed message is due or -1, then (queue, id, stored, crashes) for each message}.
local me, now = ARGV[1], clock()
local lease = redis.call('ZSCORE', ns .. ':leases', me)
if not lease or tonumber(lease) < now then return redis.error_reply('NOLEASE the lease of this worker is over') end
local answer = {promote(now, 100)}
local paused, limited = redis.call('EXISTS', ns .. ':paused') == 1, redis.call('EXISTS', ns .. ':limits') == 1
local crashed = redis.call('EXISTS', ns .. ':crashes') == 1

local function bound(queue, room)
  if paused and redis.call('SISMEMBER', ns .. ':paused', queue) == 1 then return 0 end
  local limit = limited and redis.call('HGET', ns .. ':limits', queue)
  if not limit then return room end
  local held = redis.call('HLEN', key('msgs', queue)) - redis.call('ZCARD', key('later', queue))
  for _, priority in ipairs(redis.call('ZRANGE', key('levels', queue), 0, -1)) do
    held = held - redis.call('LLEN', key('ready', queue) .. ':' .. priority)
  end
  return math.min(room, tonumber(limit) - held)
end

local function take(queue, priority, room)
  local ids = redis.call('LPOP', key('ready', queue) .. ':' .. priority, room)
  if not ids then redis.call('ZREM', key('levels', queue), priority) return 0 end
  if #ids < room then redis.call('ZREM', key('levels', queue), priority) end
  local stored, held, got = redis.call('HMGET', key('msgs', queue), unpack(ids)), {}, 0
  for i, id in ipairs(ids) do
    if stored[i] then
      got = got + 1
      held[got] = id
      local n = #answer
      answer[n + 1], answer[n + 2], answer[n + 3] = queue, id, stored[i]
      answer[n + 4] = crashed and redis.call('HGET', ns .. ':crashes', id) or 0
    end
  end
  if got > 0 then redis.call('SADD', key('held', me) .. ':' .. queue, unpack(held)) end
  return got
end

local at = 2
while ARGV[at] do
  local room, queues = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  for i = at + 2, at + 1 + queues do
    local queue = ARGV[i]
    local priorities = redis.call('ZRANGE', key('levels', queue), 0, -1)
    local allowed = priorities[1] and room > 0 and bound(queue, room) or 0
    local got = 0
    for _, priority in ipairs(priorities) do
      if allowed - got <= 0 then break end
      got = got + take(queue, priority, allowed - got)
    end
    room = room - got
    if got > 0 then
      if redis.call('EXISTS', key('levels', queue)) == 1 then ring(queue) else redis.call('DEL', key('bell', queue)) end
    end
  end
  at = at + 2 + queues
end
return answer
