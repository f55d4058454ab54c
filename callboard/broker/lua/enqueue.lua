-- ARGV: (queue, priority, id, body, delay in ms or -1) for each message. Returns how many are new.
local now, new, rung, soonest = clock(), 0, {}, redis.call('ZRANGE', ns .. ':due', 0, 0, 'WITHSCORES')[2]
for i = 1, #ARGV, 5 do
  local queue, delay = ARGV[i], tonumber(ARGV[i + 4])
  if put(now, queue, ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], delay) then
    new = new + 1
    if delay < 0 then
      rung[queue] = true
    elseif not soonest or now + delay < tonumber(soonest) then
      soonest = now + delay
      rung[''] = true -- the bell of the due: somebody must set an earlier alarm
    end
    if not rung[queue .. '\n'] then
      rung[queue .. '\n'] = true
      redis.call('SADD', ns .. ':queues', queue)
    end
  end
end
for queue in pairs(rung) do
  if string.sub(queue, -1) ~= '\n' then ring(queue) end
end
return new
