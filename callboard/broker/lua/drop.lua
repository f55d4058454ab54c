#!lua flags=allow-oom
-- ARGV: queue, id. Forgets a message that waits, ready or delayed; returns 1 if it did.
local queue, id = ARGV[1], ARGV[2]
local stored = redis.call('HGET', key('msgs', queue), id)
if not stored then return 0 end
if redis.call('ZREM', key('later', queue), id) == 1 then
  note_due(queue)
elseif redis.call('LREM', key('ready', queue) .. ':' .. level(stored), 1, id) == 0 then
  return 0
end
redis.call('HDEL', key('msgs', queue), id)
redis.call('HDEL', ns .. ':crashes', id)
return 1
