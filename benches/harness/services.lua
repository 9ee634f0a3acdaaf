-- For wrk: spreads its threads over servers (wrk ... -s services.lua URL -- PORT...): thread i goes to the
-- i-th port. What it prints is that of pipeline.lua.

dofile(debug.getinfo(1, "S").source:match("@(.*/)") .. "pipeline.lua")
local one_by_one, threads = init, 0

function setup(thread)
   thread:set("number", threads)
   threads = threads + 1
end

function init(ports)
   wrk.thread.addr = wrk.lookup("127.0.0.1", ports[number % #ports + 1])[1]
   one_by_one({"1"})
end
