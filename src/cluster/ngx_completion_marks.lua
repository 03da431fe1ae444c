-- Marks: that an operation was cancelled or deleted stands under a key of its id, behind a seal, as
-- a letter: c or d. One that is deleted stays so.
--
-- KEYS  1  the mark
-- ARGV  1  value
--       2  ms it stands
--
-- Returns 1, or 0: it was deleted.

local SEAL = 24

local there = redis.pcall('GET', KEYS[1])

-- no string: it was not written by this script; another error is the server's
if type(there) == 'table' then
    if not there.err:find('WRONGTYPE', 1, true) then
        return there
    end
    there = nil
end

if there and there:sub(SEAL + 1, SEAL + 1) == 'd' and ARGV[1]:sub(SEAL + 1, SEAL + 1) == 'c' then
    return 0
end

redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
