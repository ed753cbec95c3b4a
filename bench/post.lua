-- For wrk: starts instances of message-read over some keys, drawn uniformly, and at its end prints
-- what came of it as one line of JSON. The number of keys is its argument.
local requests = {}

function init(arguments)
    local n_keys = tonumber(arguments[1])
    for key = 1, n_keys do
        requests[key] = wrk.format("POST", "/v1/workflows/message-read/instances",
            {["Content-Type"] = "application/json"},
            ('{"input":{"message_id":%d}}'):format(key))
    end
    math.randomseed(n_keys)
end

function request()
    return requests[math.random(#requests)]
end

-- An answer counts as an error when its status is 400 or more; a connection that fails or an answer
-- that takes too long counts as one of its kind.
function done(summary, latency)
    local errors = summary.errors
    io.write(("\n{\"answers\":%d,\"seconds\":%.6f,\"statuses\":%d,\"connects\":%d,\"reads\":%d,"
        .. "\"writes\":%d,\"timeouts\":%d,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"most_ms\":%.3f}\n")
        :format(summary.requests, summary.duration / 1e6, errors.status, errors.connect,
            errors.read, errors.write, errors.timeout, latency:percentile(50) / 1e3,
            latency:percentile(99) / 1e3, latency.max / 1e3))
end
