#!lua flags=allow-oom
-- ARGV: worker. Gives back up to 500 of its messages; ends its lease once none is left. Returns how many it gave back.
local me, given = ARGV[1], 0
for _, queue in ipairs(redis.call('SMEMBERS', ns .. ':queues')) do
  local ids = redis.call('SPOP', key('held', me) .. ':' .. queue, 500)
  for _, id in ipairs(ids) do give_back(queue, id) end
  if ids[1] then ring(queue) end
  given = given + #ids
end
if given == 0 then
  redis.call('ZREM', ns .. ':leases', me)
  redis.call('DEL', key('bell', '@' .. me))
end
return given
