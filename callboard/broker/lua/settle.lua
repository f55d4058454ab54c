#!lua flags=allow-oom
-- ARGV: worker, then any of
--   'ack', queue, n, ids...            forget them
--   'back', queue, n, ids...           to the front of their queue
--   'again', queue, id, new id, priority, body, delay in ms     forget one and enqueue another, both or neither;
--                                                               the new one inherits the count of crashes
-- What this worker does not hold (any more) is left alone. Returns how many were settled.
local me, now, settled, at = ARGV[1], clock(), 0, 2
local limited = redis.call('EXISTS', ns .. ':limits') == 1
local crashed = redis.call('EXISTS', ns .. ':crashes') == 1

local function mine(queue, ids)
  local held, owned = redis.call('SMISMEMBER', key('held', me) .. ':' .. queue, unpack(ids)), {}
  for i, id in ipairs(ids) do
    if held[i] == 1 then owned[#owned + 1] = id end
  end
  if owned[1] then redis.call('SREM', key('held', me) .. ':' .. queue, unpack(owned)) end
  settled = settled + #owned
  return owned
end
local function forget(queue, ids)
  if not ids[1] then return end
  redis.call('HDEL', key('msgs', queue), unpack(ids))
  if crashed then redis.call('HDEL', ns .. ':crashes', unpack(ids)) end
end

while ARGV[at] do
  local action, queue = ARGV[at], ARGV[at + 1]
  if action == 'again' then
    local owned = mine(queue, {ARGV[at + 2]})
    if owned[1] then
      local crashes = crashed and redis.call('HGET', ns .. ':crashes', owned[1])
      forget(queue, owned)
      put(now, queue, ARGV[at + 4], ARGV[at + 3], ARGV[at + 5], tonumber(ARGV[at + 6]))
      if crashes then redis.call('HSET', ns .. ':crashes', ARGV[at + 3], crashes) end
      ring('')
    end
    at = at + 7
  else
    local n, ids = tonumber(ARGV[at + 2]), {}
    for i = 1, n do ids[i] = ARGV[at + 2 + i] end
    local owned = mine(queue, ids)
    if action == 'ack' then
      forget(queue, owned)
    else
      for i = #owned, 1, -1 do give_back(queue, owned[i]) end
      if owned[1] then ring(queue) end
    end
    at = at + 3 + n
  end
  if limited and redis.call('EXISTS', key('levels', queue)) == 1 then ring(queue) end
end
return settled
