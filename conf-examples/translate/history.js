// This browser's operations, newest first, in localStorage; in memory where that is refused.
//
// An entry: { id, key, text, from, to, state, submitted, url, took, code, detail }
//   state      sending (perhaps not accepted yet), pending, done, failed, cancelled, expired
//   key        the Idempotency-Key of the submit
//   submitted  milliseconds since 1970
//   url        of the operation, once it is accepted
//   took       milliseconds until it was done
//   code       why it failed, and the server's own words in detail

const NAME = "translate.history";
const ENTRIES_MAX = 50;

export const HOUR = 3600 * 1000;

// How long the server knows an operation, and how long a key.
const RESULT_LIFE = 72 * HOUR;
const KEY_LIFE = 24 * HOUR;

let entries = [];


export function all() {
    return entries;
}


export function get(id) {
    return entries.find((entry) => entry.id === id);
}


export function is_open(entry) {
    return entry.state === "sending" || entry.state === "pending";
}


export function load() {
    try {
        const stored = JSON.parse(localStorage.getItem(NAME) ?? "[]");

        entries = Array.isArray(stored) ? stored.filter((entry) => entry?.id && entry.key) : [];
    } catch {
        // what is in memory stays
    }
    entries = entries.map(aged);
    return entries;
}


function aged(entry) {
    const age = Date.now() - entry.submitted;

    if (entry.url && entry.state !== "expired" && age > RESULT_LIFE) {
        return { ...entry, state: "expired" };
    }
    if (entry.state === "sending" && age > KEY_LIFE) {
        return { ...entry, state: "failed", code: "outcome_unknown" };
    }
    return entry;
}


export function add(entry) {
    load();
    entries = [entry, ...entries].slice(0, ENTRIES_MAX);
    save();
}


// Another tab may have removed it meanwhile: then it stays removed.
export function update(id, change) {
    load();
    entries = entries.map((entry) => (entry.id === id ? { ...entry, ...change } : entry));
    save();
    return get(id);
}


export function remove(keep) {
    load();
    entries = entries.filter(keep);
    save();
}


function save() {
    try {
        localStorage.setItem(NAME, JSON.stringify(entries));
    } catch {
        // full, or refused: the page works without
    }
}


// Other tabs' changes.
export function on_change(call) {
    addEventListener("storage", (event) => {
        if (event.key === NAME || event.key === null) {
            load();
            call();
        }
    });
}


// crypto.randomUUID exists on https and localhost only.
export function uuid() {
    if (crypto.randomUUID) {
        return crypto.randomUUID();
    }
    const bytes = crypto.getRandomValues(new Uint8Array(16));

    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
