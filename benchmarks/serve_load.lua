-- What wrk sends: radiographs one after another as raw bodies; what it found is printed as JSON.
local bodies, at, threads = {}, 0, {}

function setup(thread)
  table.insert(threads, thread)
end

function init(arguments)
  statuses = {}
  for path in io.lines(arguments[1]) do
    local file = assert(io.open(path, "rb"))
    table.insert(bodies, file:read("*a"))
    file:close()
  end
end

function request()
  at = at % #bodies + 1
  return wrk.format("POST", "/v1/predictions", {["Content-Type"] = "application/octet-stream"}, bodies[at])
end

function response(status)
  statuses[status] = (statuses[status] or 0) + 1
end

function done(summary, latency)
  local counts = {}
  for _, thread in ipairs(threads) do
    for status, n in pairs(thread:get("statuses")) do
      counts[status] = (counts[status] or 0) + n
    end
  end
  local found = {}
  for status, n in pairs(counts) do
    table.insert(found, string.format('"%d": %d', status, n))
  end
  local errors = summary.errors
  io.write(string.format(
    'JSON {"statuses": {%s}, "seconds": %.3f, "p50_ms": %.2f, "p99_ms": %.2f, "socket_errors": %d, "timeouts": %d}\n',
    table.concat(found, ", "), summary.duration / 1e6, latency:percentile(50) / 1000,
    latency:percentile(99) / 1000, errors.connect + errors.read + errors.write, errors.timeout))
end
