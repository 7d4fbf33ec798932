-- Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
-- One pass over several buckets, all or none: the arithmetic of kit::limit::gcra. KEYS are the buckets, each with the time at
-- which it will be full again, in microseconds. ARGV[1] is the time, or empty: then it is Redis' own, the same for all
-- replicas. After it come window and price of each bucket. The answer is the level of each before the pass: the time
-- until it is full. The caller reads the decision off these as this does.
-- Numbers are doubles, exact up to 2^53; none here is greater. Not `..` or tostring: they keep 14 digits.
local now, spare = tonumber(ARGV[1]), 0
if now then
  -- A time that is given does not run as Redis' own does, which ends the keys.
  spare = 3600000
else
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local levels, admitted = {}, true
for layer, key in ipairs(KEYS) do
  local window, price = tonumber(ARGV[2 * layer]), tonumber(ARGV[2 * layer + 1])
  local tat = tonumber(redis.call('GET', key))
  local level = tat and tat - now or 0
  -- Also what is not a number.
  if not (level > 0) then level = 0 end
  -- However long ago the clock stepped back.
  if level > window then level = window end
  levels[layer] = level
  admitted = admitted and level + price <= window
end
if admitted then
  for layer, key in ipairs(KEYS) do
    local price = tonumber(ARGV[2 * layer + 1])
    if price > 0 then
      local level = levels[layer] + price
      redis.call('SET', key, string.format('%.0f', now + level), 'PX', math.ceil(level / 1000) + spare)
    end
  end
end
return levels
