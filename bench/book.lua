-- wrk's requests for bench/booking.py: each books another pair of child and class.
-- Arguments: the file of parents ("token profile" a line), the file of class ids, how many pairs to pass over.
local parents, classes, n = {}, {}, 0

function init(args)
  for line in io.lines(args[1]) do
    local token, profile = line:match("(%S+) (%S+)")
    parents[#parents + 1] = { token = token, profile = profile }
  end
  for line in io.lines(args[2]) do classes[#classes + 1] = line end
  n = tonumber(args[3])
  math.randomseed(os.time())
end

function request()
  local who = n % #parents
  local class = classes[(math.floor(n / #parents) + who) % #classes + 1]
  local parent = parents[who + 1]
  n = n + 1
  return wrk.format("POST", nil, {
    ["Authorization"] = "Bearer " .. parent.token,
    ["Content-Type"] = "application/json",
    ["Idempotency-Key"] = string.format("wrk-%d-%d", n, math.random(1000000000)),
  }, '{"course_schedule_id": ' .. class .. ', "profile_id": ' .. parent.profile .. "}")
end
