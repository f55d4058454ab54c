#!lua flags=allow-oom
-- ARGV: worker, lease in ms, ms that a dead lease must have been seen dead before its messages are taken.
-- The second sight spares live workers when the server's clock jumps: they renew in between.
-- Returns {ms until the next delayed message is due or -1, messages that this worker holds, messages taken from the
-- dead, 1 if somebody looks dead}.
local me, now, patience = ARGV[1], clock(), tonumber(ARGV[3])
redis.call('ZADD', ns .. ':leases', now + ARGV[2], me)
redis.call('HDEL', ns .. ':suspects', me)
local queues = redis.call('SMEMBERS', ns .. ':queues')
local held, taken, left = 0, 0, 500
for _, queue in ipairs(queues) do held = held + redis.call('SCARD', key('held', me) .. ':' .. queue) end

local function take_over(dead)
  for _, queue in ipairs(queues) do
    local ids = left > 0 and redis.call('SPOP', key('held', dead) .. ':' .. queue, left) or {}
    for _, id in ipairs(ids) do
      if give_back(queue, id) then redis.call('HINCRBY', ns .. ':crashes', id, 1) end
    end
    if ids[1] then ring(queue) end
    left, taken = left - #ids, taken + #ids
  end
  if left > 0 then
    redis.call('ZREM', ns .. ':leases', dead)
    redis.call('HDEL', ns .. ':suspects', dead)
  end
end

local silent = redis.call('ZRANGE', ns .. ':leases', '-inf', now, 'BYSCORE', 'LIMIT', 0, 20)
for _, other in ipairs(silent) do
  local since = redis.call('HGET', ns .. ':suspects', other)
  if not since or tonumber(since) > now then
    redis.call('HSET', ns .. ':suspects', other, now)
  elseif now - since >= patience then
    take_over(other)
  end
end
return {promote(now, 1000), held, taken, silent[1] and 1 or 0}
