-- The starts of one or several rates, which all nodes share: none is given that would make more
-- than n of them in any window of a unit, whichever node has which. A start is a moment from
-- which on it may be used, and counts from its end, the latest moment that it may be.
--
-- KEYS  1    the nodes, by the time of their last call
--       2..  a rate each: starts by their ends
-- ARGV  1    the node
--       2    token: names what is given, "token:1" and so on; asked again, the same is given anew
--       3    so many are wanted, 8 at most; 0: none; -1: none, and the node leaves
--       4    ms that a start is good for
--       5..  n and ms of the unit, of each rate
--       ..   names of starts that were not used
--
-- Returns the time, how many nodes there are, when the next start is due, and those given, by
-- their moments. Times are ms of this server's clock.

local ALIVE, AHEAD, WIDEST, MOST = 10000, 1000, 2000, 8

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local node, token = ARGV[1], ARGV[2]
local wanted = math.min(tonumber(ARGV[3]), MOST)
local width = math.min(tonumber(ARGV[4]), WIDEST)

local rates, unused = {}, {}

for i = 2, #KEYS do
    local at = 5 + (i - 2) * 2
    rates[i - 1] = { key = KEYS[i], n = tonumber(ARGV[at]), unit = tonumber(ARGV[at + 1]) }
end

for i = 5 + #rates * 2, math.min(#ARGV, 4 + #rates * 2 + 4 * MOST) do
    unused[#unused + 1] = ARGV[i]
end

-- a call that was carried out although its answer was lost
for i = 1, MOST do
    unused[#unused + 1] = token .. ':' .. i
end

-- what is no sorted set, or behind all that was ever given, was not written by this script, or by
-- a clock that has gone back since
local function clean(key, first, last)
    for _, range in ipairs({ { '-inf', first }, { last, '+inf' } }) do
        local reply = redis.pcall('ZREMRANGEBYSCORE', key, range[1], range[2])
        if type(reply) == 'table' and reply.err then
            if not reply.err:find('WRONGTYPE', 1, true) then
                return reply
            end
            redis.call('DEL', key)
        end
    end
end

local failed = clean(KEYS[1], now - ALIVE, '(' .. now)
if failed then
    return failed
end

if wanted < 0 then
    redis.call('ZREM', KEYS[1], node)
else
    redis.call('ZADD', KEYS[1], now, node)
    redis.call('PEXPIRE', KEYS[1], ALIVE)
end

for _, rate in ipairs(rates) do
    failed = clean(rate.key, now - rate.unit, '(' .. (now + AHEAD + WIDEST))
    if failed then
        return failed
    end
    redis.call('ZREM', rate.key, unpack(unused))
end

local function due()
    local at = now
    for _, rate in ipairs(rates) do
        local last = redis.call('ZRANGE', rate.key, -rate.n, -rate.n, 'WITHSCORES')[2]
        if last then
            at = math.max(at, tonumber(last) + rate.unit)
        end
    end
    return at
end

local given = {}
local at = due()

while #given < wanted and at <= now + AHEAD do
    given[#given + 1] = at
    for _, rate in ipairs(rates) do
        redis.call('ZADD', rate.key, at + width, token .. ':' .. #given)
        redis.call('PEXPIRE', rate.key, rate.unit + AHEAD + WIDEST)
    end
    at = due()
end

return { now, redis.call('ZCARD', KEYS[1]), at, unpack(given) }
