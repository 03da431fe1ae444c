// This browser's operations, newest first, in localStorage; in memory where that is refused.
//
// An entry: { id, tries, key, text, from, to, state, submitted, url, took, result, note, code,
// detail }
//   id         a digest of text and languages: these are one entry, in whichever tab
//   tries      of which the last came to nothing, or is this one
//   key        the Idempotency-Key of the submit: this browser, the id, the try
//   state      sending (perhaps not accepted yet), pending, done, failed, cancelled, expired
//   submitted  milliseconds since 1970
//   url        of the operation, once it is accepted
//   took       milliseconds until it was done
//   result     the translation, and what is to be said of it in note: the server forgets it
//   code       why it failed, and the server's own words in detail

const NAME = "translate.history";
const BROWSER = "translate.browser";

// Of a storage of some 5 million characters.
const ENTRIES_MAX = 50;
const CHARACTERS_MAX = 1e6;

const HOUR = 3600 * 1000;

// How long the server knows an operation, and how long a key.
const RESULT_LIFE = 72 * HOUR;
const KEY_LIFE = 24 * HOUR;

let entries = [];
let visit;


export function all() {
    return entries;
}


export function get(id) {
    return entries.find((entry) => entry.id === id);
}


export function is_open(entry) {
    return entry.state === "sending" || entry.state === "pending";
}


// The server still knows it.
export function is_readable(entry) {
    return entry.url !== undefined && Date.now() - entry.submitted < RESULT_LIFE;
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

    const owed = entry.state === "pending" || entry.state === "done";

    if (owed && entry.result === undefined && age > RESULT_LIFE) {
        return { ...entry, state: "expired" };
    }
    if (entry.state === "sending" && age > KEY_LIFE) {
        return { ...entry, state: "failed", code: "outcome_unknown" };
    }
    return entry;
}


// In place of an earlier try.
export function put(id, tries, { text, from, to }) {
    const key = `${browser()}.${id}.${tries}`;
    const entry = { id, tries, key, text, from, to, state: "sending", submitted: Date.now() };

    load();
    entries = [entry, ...entries.filter((other) => other.id !== id)];
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
    while (is_crowded() && drop_oldest()) {
        // until there is room
    }
    for (;;) {
        try {
            localStorage.setItem(NAME, JSON.stringify(entries));
            return;
        } catch (error) {
            // where storage is refused, the page works without
            if (error.name !== "QuotaExceededError" || !drop_oldest()) {
                return;
            }
        }
    }
}


function is_crowded() {
    const size = entries.reduce(
        (sum, { text, result = "" }) => sum + text.length + result.length, 0);

    return entries.length > ENTRIES_MAX || size > CHARACTERS_MAX;
}


// What is still to come stays, as does the newest.
function drop_oldest() {
    const index = entries.findLastIndex((entry) => !is_open(entry));

    return index > 0 && entries.splice(index, 1).length > 0;
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


// A name that this browser has given itself: of this visit only, where storage is refused.
export function browser() {
    try {
        const name = localStorage.getItem(BROWSER) ?? visit ?? uuid();

        localStorage.setItem(BROWSER, name);
        return name;
    } catch {
        visit ??= uuid();
        return visit;
    }
}


// crypto.randomUUID exists on https and localhost only.
function uuid() {
    if (crypto.randomUUID) {
        return crypto.randomUUID();
    }
    const bytes = crypto.getRandomValues(new Uint8Array(16));

    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}


// Tabs that submit at the same moment have no time to agree on anything but what follows from the
// text.  128 bits, no secret: crypto.subtle exists on https and localhost only, too.
export function identity({ text, from, to }) {
    const whole = JSON.stringify([from, to, text]);
    let [a, b, c, d] = [0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x1f83d9ab];

    for (let i = 0; i < whole.length; i++) {
        const unit = whole.charCodeAt(i);

        a = b ^ Math.imul(a ^ unit, 0x239b961b);
        b = c ^ Math.imul(b ^ unit, 0xab0e9789);
        c = d ^ Math.imul(c ^ unit, 0x38b34ae5);
        d = a ^ Math.imul(d ^ unit, 0xa1e38b93);
    }
    return [a, b, c, d].map((part) => (part >>> 0).toString(16).padStart(8, "0")).join("");
}
