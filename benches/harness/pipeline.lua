-- For wrk: sends DEPTH requests in one write (wrk ... -s pipeline.lua URL -- DEPTH; 1 is no pipelining), and
-- prints what it measured as one line of JSON. No Lua runs per request, so it costs the load nothing.

function init(args)
   local one, depth = wrk.format(), tonumber(args[1])
   wrk.format = function() return one:rep(depth) end
end

-- The share of the answers that wrk has timed: of pipelined ones not all, and beyond it a percentile is 0.
local function timed(latency)
   local low, high = 0, 1
   for _ = 1, 30 do
      local middle = (low + high) / 2
      if latency:percentile(100 * middle) > 0 then low = middle else high = middle end
   end
   return low
end

function done(summary, latency)
   local errors, share = summary.errors, timed(latency)
   print(string.format(
      '{"requests": %d, "bytes": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "errors": %d}',
      summary.requests, summary.bytes, summary.duration / 1e6,
      latency:percentile(50 * share) / 1e3, latency:percentile(99 * share) / 1e3,
      errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
