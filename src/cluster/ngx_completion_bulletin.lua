-- News: what nodes have done, or heard, stands in one stream, each entry under a seal; nothing in it
-- is older than it stands.
--
-- KEYS  1  the stream
--       2  tell: a mark, perhaps
-- ARGV  1  what to do: tell or read
-- tell  2  entry
--       3  ms that entries stand
--       4  the mark: value, a letter behind a seal; one that is d stays so
--       5  ms it stands
-- read  2  id of the last entry that was read, or nothing
--       3  so many are wanted
--       4  ms for which the reader is there
--
-- Returns of a tell 1; of a read the id from which to read on, and entries. Who has read nothing yet
-- begins with what was told since it is there; who has read more than there is begins anew, as the
-- stream has.

local SEAL = 24

local what, key = ARGV[1], KEYS[1]

-- what is of another type was not written by this script; another error is the server's
local function of(command, ...)
    local reply = redis.pcall(command, ...)
    if type(reply) == 'table' and reply.err then
        if not reply.err:find('WRONGTYPE', 1, true) then
            return nil, reply
        end
        redis.call('DEL', (...))
        reply = redis.call(command, ...)
    end
    return reply
end

local last, failed = of('XREVRANGE', key, '+', '-', 'COUNT', 1)
if failed then
    return failed
end

-- so many ms ago
local function ago(ms)
    local time = redis.call('TIME')
    return string.format('%.0f', math.max(time[1] * 1000 + math.floor(time[2] / 1000) - ms, 0))
end

if what == 'tell' then
    if KEYS[2] then
        local there, wrong = of('GET', KEYS[2])
        if wrong then
            return wrong
        end
        if not there or there:sub(SEAL + 1, SEAL + 1) ~= 'd' or ARGV[4]:sub(SEAL + 1, SEAL + 1) == 'd' then
            redis.call('SET', KEYS[2], ARGV[4], 'PX', ARGV[5])
        end
    end

    redis.call('XADD', key, 'MINID', '~', ago(ARGV[3]), '*', 'e', ARGV[2])
    redis.call('PEXPIRE', key, ARGV[3])
    return 1
end

local function below(one, other)
    local ms, n = one:match('^(%d+)-(%d+)$')
    local other_ms, other_n = other:match('^(%d+)-(%d+)$')
    ms, other_ms = tonumber(ms), tonumber(other_ms)
    return ms < other_ms or (ms == other_ms and tonumber(n) < tonumber(other_n))
end

local top = last[1] and last[1][1] or '0-0'
local from = ARGV[2]

if from == '' then
    from = ago(ARGV[4]) .. '-0'
    if below(top, from) then
        return { top }
    end
elseif below(top, from) then
    from = '0-0'
end

local answer = { from }

for _, entry in ipairs(redis.call('XRANGE', key, '(' .. from, '+', 'COUNT', ARGV[3])) do
    answer[1] = entry[1]
    answer[#answer + 1] = entry[2][2]
end

return answer
