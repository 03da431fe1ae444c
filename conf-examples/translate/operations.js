// The API: submit, watch and cancel one operation.  Nothing here knows the page.

const SUBMIT = "translate";

// Seconds: of a long poll, of silence before a stream is given up, of a stream until a poll shows
// whether upstream still answers, between tries.
const WAIT = 20;
const SILENCE = 5;
const STREAM = 60;
const PAUSE_MAX = 15;
const REQUEST_MAX = 60;

// Codes of what may be over when it is tried again.
const PASSING = new Set([
    "network", "quota_exceeded", "zone_full", "upstream_unavailable", "upstream_timeout",
]);

// Codes that no later poll of an operation will better.
const FINAL = new Set(["invalid_request", "forbidden", "operation_not_found", "not_acceptable"]);

// Codes that mean the same to whoever waits.
const LIKE = { overloaded: "zone_full", redis_unavailable: "upstream_unavailable" };

// What a server before the module answers has no code.
const BY_STATUS = {
    401: "forbidden",
    403: "forbidden",
    404: "operation_not_found",
    413: "request_too_large",
    429: "quota_exceeded",
    500: "network",
    502: "network",
    503: "upstream_unavailable",
    504: "network",
};


export class Problem extends Error {
    constructor(code, { detail = "", retryAfter } = {}) {
        super(detail || code);
        this.code = code;
        this.detail = detail;
        this.retryAfter = retryAfter;
    }

    get passing() {
        return PASSING.has(this.code);
    }
}


// Seconds before try number `count`, from 0, is followed by the next.
export function pause(problem, count) {
    return problem.retryAfter ?? Math.min(PAUSE_MAX, 2 ** count);
}


const waking = new EventTarget();


// Whoever sleeps goes on at once.
export function wake() {
    waking.dispatchEvent(new Event("wake"));
}


addEventListener("online", wake);


// Ends early, without an error, when the signal aborts or the network comes back.
export function sleep(seconds, signal) {
    return new Promise((resolve) => {
        const end = () => {
            clearTimeout(timer);
            signal.removeEventListener("abort", end);
            waking.removeEventListener("wake", end);
            resolve();
        };
        const timer = setTimeout(end, seconds * 1000);

        signal.addEventListener("abort", end);
        waking.addEventListener("wake", end);
        if (signal.aborted) {
            end();
        }
    });
}


// The same key costs once, however often it is sent.
export async function submit({ text, from, to, key }) {
    const { response, operation } = await call(SUBMIT, {
        method: "POST",
        headers: { "Content-Type": "application/json", "Idempotency-Key": key },
        body: JSON.stringify({ text, from, to }),
    });
    const url = response.headers.get("Location");

    if (!url) {
        throw new Problem("unknown");
    }
    return { url, operation, replayed: response.headers.has("Idempotency-Replayed") };
}


export async function read(url) {
    return (await call(url, {})).operation;
}


export async function cancel(url) {
    return (await call(url, { method: "DELETE" })).operation;
}


// Resolves with the operation when it is done, or with null when the signal aborts.  The stream
// of a visible operation tells at once; where there is none, polls ask at the times the server
// names, and those of a visible one are held until there is news.
export async function watch(url, { signal, visible, onPending, onTrouble }) {
    let streams = visible && window.EventSource ? 2 : 0;
    let failures = 0;

    while (!signal.aborted) {
        if (streams > 0 && failures === 0) {
            const last = await follow(url, signal, onPending);

            if (last?.done || signal.aborted) {
                return last?.done ? last : null;
            }
            streams -= last ? 0 : 1;
        }

        try {
            const headers = visible && failures === 0 ? { Prefer: `wait=${WAIT}` } : {};
            const { response, operation } = await call(url, { headers, signal });

            if (operation.done) {
                return operation;
            }
            failures = 0;
            onPending(operation);
            await sleep(retryAfter(response) ?? 1, signal);

        } catch (problem) {
            if (signal.aborted) {
                return null;
            }
            if (FINAL.has(problem.code)) {
                throw problem;
            }
            const seconds = pause(problem, failures++);

            onTrouble(problem, seconds);
            await sleep(seconds, signal);
        }
    }
    return null;
}


// The last state that the stream told of, or null if it told nothing.
function follow(url, signal, onPending) {
    return new Promise((resolve) => {
        let last = null;
        const source = new EventSource(url);
        const end = () => {
            clearTimeout(timer);
            signal.removeEventListener("abort", end);
            source.close();
            resolve(last);
        };
        let timer = setTimeout(end, SILENCE * 1000);

        signal.addEventListener("abort", end);
        source.addEventListener("error", end);
        source.addEventListener("operation", (event) => {
            if (!last) {
                clearTimeout(timer);
                timer = setTimeout(end, STREAM * 1000);
            }
            last = parse(event.data);
            if (!last || last.done) {
                end();
            } else {
                onPending(last);
            }
        });
    });
}


async function call(url, { signal, headers = {}, ...options }) {
    const limit = new AbortController();
    const abort = () => limit.abort();
    const timer = setTimeout(abort, REQUEST_MAX * 1000);
    let response;
    let body;

    signal?.addEventListener("abort", abort);
    try {
        response = await fetch(url, {
            ...options,
            headers: { Accept: "application/json", ...headers },
            signal: limit.signal,
        });
        body = await response.text();

    } catch {
        throw new Problem("network");

    } finally {
        clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
    }

    const json = parse(body);

    if (response.ok && json) {
        return { response, operation: json };
    }
    throw new Problem(LIKE[json?.code] ?? json?.code ?? BY_STATUS[response.status] ?? "unknown", {
        detail: json?.detail,
        retryAfter: retryAfter(response),
    });
}


function parse(text) {
    try {
        const value = JSON.parse(text);

        return value !== null && typeof value === "object" ? value : null;
    } catch {
        return null;
    }
}


function retryAfter(response) {
    const seconds = Number.parseInt(response.headers.get("Retry-After"), 10);

    return Number.isNaN(seconds) ? undefined : Math.max(1, seconds);
}


// How far a pending operation is: { parts, done, text }, of which a text in one part has none.
export function progress({ metadata, text: so_far, response }) {
    const { parts, done, text = so_far ?? response?.alternatives?.[0]?.message?.text }
        = metadata ?? {};

    return {
        parts: Number(parts) || 1,
        done: Number(done) || 0,
        text: typeof text === "string" && text !== "" ? text : undefined,
    };
}


// What a finished operation came to: { state, result, note } or { state, code, detail }.
export function outcome({ response, error }) {
    if (error?.code) {
        return error.code === 1
            ? { state: "cancelled" }
            : { state: "failed", code: `grpc_${error.code}`, detail: error.message };
    }
    const { message, status = "" } = response?.alternatives?.[0] ?? {};

    if (status.endsWith("CONTENT_FILTER")) {
        return { state: "failed", code: "filtered" };
    }
    if (typeof message?.text !== "string") {
        return { state: "failed", code: "empty" };
    }
    return {
        state: "done",
        result: message.text,
        note: /TRUNCATED|PARTIAL/.test(status) ? "truncated" : "",
    };
}
