#!lua flags=no-writes
-- ARGV: queues. Returns for each {ready, claimed, delayed, orphaned, then the stored message at the head of each level}.
local now, answer = clock(), {}
local silent = redis.call('ZRANGE', ns .. ':leases', '-inf', now, 'BYSCORE', 'LIMIT', 0, 100)
for i, queue in ipairs(ARGV) do
  local ready, orphaned, heads = 0, 0, {}
  for _, priority in ipairs(redis.call('ZRANGE', key('levels', queue), 0, -1)) do
    local list = key('ready', queue) .. ':' .. priority
    ready = ready + redis.call('LLEN', list)
    local head = redis.call('LINDEX', list, 0)
    heads[#heads + 1] = head and redis.call('HGET', key('msgs', queue), head) or nil
  end
  local delayed = redis.call('ZCARD', key('later', queue))
  for _, dead in ipairs(silent) do orphaned = orphaned + redis.call('SCARD', key('held', dead) .. ':' .. queue) end
  local claimed = redis.call('HLEN', key('msgs', queue)) - ready - delayed
  answer[i] = {ready, math.max(claimed, 0), delayed, orphaned, unpack(heads)}
end
return answer
