-- Claims: what a request goes by (its idempotency key, the digest of what it asks) stands under
-- a key each, with a value of its holder's, who knows what it says; behind a seal it begins with
-- the holder's token and a letter: a or u where its sending has ended. One that stands under
-- another's token is not touched, and what is written has a time.
--
-- KEYS  the claims of one submit, one or two
-- ARGV  1    what to do:
--            claim  all of them, unless one is somebody else's
--            turn   all of them, if the token holds all: otherwise none
--            tell   those that the token holds, and those that nobody does
--            drop   those that the token holds go
--            undo   the same, but of one that is accepted, or unknown
--       2    the token
--       3..  of each: value, ms it stands, and a value that counts as none, or nothing
--
-- Returns 1 if it was done, else 0 and of each claim its value and ms that it has left: 0, or -1
-- where it has no end; false and 0 if there is none.

local SEAL = 24

local what, token = ARGV[1], ARGV[2]
local claims, free, held = {}, 0, 0

for i, key in ipairs(KEYS) do
    local value = redis.pcall('GET', key)

    -- no string: it was not written by this script; another error is the server's
    if type(value) == 'table' then
        if not value.err:find('WRONGTYPE', 1, true) then
            return value
        end
        value = false
    end

    local claim = { key = key, value = value, to = ARGV[i * 3], ms = ARGV[i * 3 + 1] }

    if value and value:sub(SEAL + 1, SEAL + #token) == token then
        claim.held = true
        claim.ended = value:find('^[au]', SEAL + #token + 1)
        held = held + 1
    elseif not value or value == ARGV[i * 3 + 2] then
        claim.free = true
        free = free + 1
    end

    claims[i] = claim
end

local done = what == 'tell' or what == 'drop' or what == 'undo' or held == #KEYS
    or (what == 'claim' and held + free == #KEYS)

local answer = { done and 1 or 0 }

for _, claim in ipairs(claims) do
    if not done then
        answer[#answer + 1] = claim.value
        answer[#answer + 1] = claim.value and redis.call('PTTL', claim.key) or 0
    elseif what == 'drop' or what == 'undo' then
        if claim.held and not (what == 'undo' and claim.ended) then
            redis.call('DEL', claim.key)
        end
    elseif claim.held or claim.free then
        redis.call('SET', claim.key, claim.to, 'PX', claim.ms)
    end
end

return answer
