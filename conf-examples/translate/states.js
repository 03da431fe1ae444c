// The states that the page can be in, and what it shows in each: view.js draws it.
//
//   idle          nothing was submitted, or what is shown was erased
//   sending       on its way to the server, perhaps in the server's line
//   queued        the server has no room for it, and it is sent again by itself
//   unreachable   the server or the service is away, and is asked again by itself
//   offline       this browser has no network
//   pending       accepted, and paid for
//   streaming     the same, with a part of the translation, which stays while it waits
//   cancelling    not told to the server yet
//   done, truncated, cancelled, expired
//   refused       nothing was accepted
//   uncertain     it may have been
//   failed        it was, and nothing came of it
//
// Beside a text that has changed since, each of them is stale.

import { is_open, is_readable } from "./history.js";
import * as texts from "./texts.js";

// The buttons and the bar that belong to a state, and the words of its status where they are not
// state_NAME.
const SHOWN = {
    idle: { status: "" },
    sending: { bar: true, cancel: true },
    queued: { cancel: true, retry: "now" },
    unreachable: { status: "state_waiting", cancel: true, retry: "now" },
    offline: { status: "state_waiting", cancel: true, retry: "now" },
    pending: { bar: true, cancel: true },
    streaming: { status: "state_pending", bar: true, cancel: true },
    cancelling: { bar: true },
    done: { copy: true },
    truncated: { status: "truncated", copy: true },
    cancelled: { retry: "retry" },
    expired: { retry: "retry" },
    refused: { retry: "retry" },
    uncertain: { status: "state_failed", retry: "resend" },
    failed: { retry: "retry" },
};

// Why a submit waits in a line, and codes of an operation that was accepted.
const FULL = new Set(["quota_exceeded", "zone_full"]);
const ACCEPTED = /^(grpc_\d+|filtered|empty|operation_not_found|network|unknown)$/;

// Whose code says little, and whose own words follow.
const VAGUE = /^(grpc_\d+|invalid_request|unknown)$/;

// Longer than this is longer than usual: of a submit, of an operation.
const LINE = 3 * 1000;
const LONG = 60 * 1000;

const { text } = texts;


// `wait` is what the entry waits for, `progress` how far it is; both may be missing.
export function model(entry, wait, progress) {
    const name = state(entry, wait, progress);
    const { status = `state_${name}`, bar = false, copy = false, cancel = false, retry }
        = SHOWN[name];
    const partial = entry !== undefined && is_open(entry) && progress?.text !== undefined;
    const parts = progress?.parts > 1 && entry.state === "pending" && bar;

    return {
        name,
        status: parts && !wait ? text("state_parts", progress) : status && text(status),
        note: note(name, entry, wait),
        time: time(entry, wait),
        result: partial ? progress.text : entry?.result,
        partial,
        language: entry?.to,
        bar,
        share: parts && progress.done > 0 ? progress.done / progress.parts : undefined,
        copy,
        cancel,
        retry: retry && text(retry),
        url: can_be_read(entry) ? entry.url : undefined,
    };
}


function state(entry, wait, progress) {
    if (!entry) {
        return "idle";
    }
    if (wait?.cancelled) {
        return "cancelling";
    }
    if (wait) {
        return FULL.has(wait.code) ? "queued"
            : wait.code === "network" && !navigator.onLine ? "offline" : "unreachable";
    }
    if (entry.state === "pending" && progress?.text !== undefined) {
        return "streaming";
    }
    if (entry.state === "failed") {
        return entry.code === "outcome_unknown" ? "uncertain"
            : ACCEPTED.test(entry.code) ? "failed" : "refused";
    }
    return entry.state === "done" && entry.note ? "truncated" : entry.state;
}


function note(name, entry, wait) {
    const age = Date.now() - entry?.submitted;

    switch (name) {
    case "offline":
    case "expired":
        return text(name);
    case "queued":
    case "unreachable":
        return text(`wait_${wait.code}`);
    case "refused":
    case "uncertain":
    case "failed":
        return VAGUE.test(entry.code) && entry.detail
            ? `${text(entry.code)}\n${entry.detail}`
            : text(entry.code);
    case "sending":
        return age > LINE ? text("line") : "";
    case "pending":
    case "streaming":
        return age > LONG ? text("long") : "";
    default:
        return "";
    }
}


function can_be_read(entry) {
    return entry !== undefined && (is_open(entry) || entry.state === "done") && is_readable(entry);
}


function time(entry, wait) {
    if (wait?.until) {
        const count = Math.max(0, Math.ceil((wait.until - Date.now()) / 1000));

        return text("again_in", { count: texts.number(count) });
    }
    if (entry && is_open(entry)) {
        return duration(Math.max(0, Math.floor((Date.now() - entry.submitted) / 1000)));
    }
    return entry?.state === "done" && entry.took !== undefined
        ? duration(entry.took / 1000, 1)
        : "";
}


// "5 s", "5.2 s", and "1:05" from a minute on.
function duration(seconds, digits = 0) {
    const rest = String(Math.floor(seconds % 60)).padStart(2, "0");

    return seconds < 60
        ? text("seconds", { count: texts.number(seconds, digits) })
        : `${Math.floor(seconds / 60)}:${rest}`;
}
