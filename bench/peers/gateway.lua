-- The gateway as one writes it for Lua: cosockets kept alive, answers in a shared dictionary,
-- finished ones for an hour, pending ones for a second.

local json = require "cjson.safe"

local gateway = {}
local answers = ngx.shared.answers
local find, match, sub = string.find, string.match, string.sub


local function fail(sock, what)
    if sock then
        sock:close()
    end
    ngx.log(ngx.ERR, what or "upstream failed")
    return ngx.exit(502)
end


local function fetch(request)
    local sock = ngx.socket.tcp()
    sock:settimeout(30000)

    local ok, err = sock:connect("127.0.0.1", gateway.upstream_port, { pool_size = 64 })
    if not ok then
        return fail(nil, err)
    end
    if gateway.tls and sock:getreusedtimes() == 0
       and not sock:sslhandshake(false, "localhost", true)
    then
        return fail(sock)
    end
    if not sock:send(request) then
        return fail(sock)
    end

    local read = sock:receiveuntil("\r\n\r\n")
    local head = read()
    if not head or sub(head, 1, 12) ~= "HTTP/1.1 200" then
        return fail(sock, head)
    end
    local length = match(head, "\r\nContent%-Length: (%d+)")
    local body = length and sock:receive(tonumber(length))
    if not body then
        return fail(sock)
    end
    sock:setkeepalive(60000, 64)
    return body
end


function gateway.submit(cached)
    ngx.req.read_body()
    local text = ngx.req.get_body_data() or ""
    local key = cached and ngx.md5(text)
    local body = key and answers:get(key)

    if not body then
        local quoted = json.encode(text)
        local length = #gateway.head + #quoted - 2 + #gateway.tail

        body = fetch({
            "POST /foundationModels/v1/completionAsync HTTP/1.1\r\nHost: api\r\nAuthorization: ",
            gateway.authorization, "\r\nContent-Type: application/json\r\nContent-Length: ",
            length, "\r\n\r\n", gateway.head, sub(quoted, 2, -2), gateway.tail })
        if key then
            answers:set(key, body, 3600)
        end
    end

    local operation = json.decode(body)
    if not operation or type(operation.id) ~= "string" then
        return fail()
    end
    ngx.status = cached and 200 or 202
    ngx.header["Location"] = "/translate/operations/" .. operation.id
    ngx.header["Content-Length"] = #body
    ngx.print(body)
end


function gateway.poll()
    local id = match(ngx.var.uri, "([^/]+)$")
    local body = answers:get(id)

    if not body then
        body = fetch({ "GET /operations/", id, " HTTP/1.1\r\nHost: api\r\nAuthorization: ",
                       gateway.authorization, "\r\n\r\n" })
        answers:set(id, body, find(body, '"done":true', 1, true) and 3600 or 1)
    end

    if find(body, '"done":true', 1, true) then
        ngx.header["ETag"] = '"' .. id .. '"'
        if ngx.var.http_if_none_match == '"' .. id .. '"' then
            return ngx.exit(304)
        end
    end
    ngx.header["Content-Length"] = #body
    ngx.print(body)
end


return gateway
