-- For wrk: sends DEPTH requests in one write (wrk ... -s pipeline.lua URL -- DEPTH; 1 is no pipelining), and
-- prints what it measured as one line of JSON. No Lua runs per request, so it costs the load nothing.

function init(args)
   local one, depth = wrk.format(), tonumber(args[1])
   wrk.format = function() return one:rep(depth) end
end

function done(summary, latency)
   local errors = summary.errors
   print(string.format(
      '{"requests": %d, "bytes": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "errors": %d}',
      summary.requests, summary.bytes, summary.duration / 1e6,
      latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
      errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
