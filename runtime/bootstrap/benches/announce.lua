-- Announcements for wrk: one body of the file $BODIES after the other.

local bodies = {}
for line in io.lines(os.getenv("BODIES")) do
  bodies[#bodies + 1] = line
end
local last = 0

function request()
  last = last % #bodies + 1
  return wrk.format("POST", nil, nil, bodies[last])
end
