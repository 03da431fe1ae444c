// What happens on the page: entries are sent, watched, cancelled, and shown by view.js.

import * as api from "./operations.js";
import * as history from "./history.js";
import * as view from "./view.js";

// A refused submit is repeated so often by itself.
const TRIES = 5;

const DRAFT = "translate.draft";

// By entry id, of this visit only: the work going on for it, what it waits for, its result.
const work = new Map();
const waits = new Map();
const results = new Map();

// Operations that were submitted in this visit.
const seen = new Set();

let shown = null;


function render() {
    const entry = history.get(shown);

    view.panel(entry, waits.get(shown), entry && results.get(shown));
    view.entries(history.all(), shown);
}


// Runs `task(signal)` for the entry, in place of what ran before.
async function run(id, task) {
    const controller = new AbortController();

    work.get(id)?.abort();
    work.set(id, controller);
    try {
        await task(controller.signal);

    } catch (error) {
        if (controller.signal.aborted) {
            return;
        }
        if (!(error instanceof api.Problem)) {
            throw error;
        }
        const gone = error.code === "operation_not_found" && history.get(id)?.url;

        change(id, gone
            ? { state: "expired" }
            : { state: "failed", code: error.code, detail: error.detail });

    } finally {
        if (work.get(id) === controller) {
            work.delete(id);
            waits.delete(id);
            render();
        }
    }
}


function change(id, values) {
    history.update(id, values);
    render();
}


function wait(id, problem, seconds) {
    waits.set(id, { code: problem.code, until: Date.now() + seconds * 1000 });
    render();
}


function finish(id, operation) {
    const { text, note, ...values } = api.outcome(operation);
    const entry = history.get(id);

    if (values.state === "done") {
        results.set(id, { text, note });
        values.took = entry?.took ?? duration(entry, operation);
    }
    change(id, values);
}


// As this browser saw it, or where it was away, as the server did.
function duration(entry, { createdAt, modifiedAt }) {
    return entry && seen.has(entry.id)
        ? Date.now() - entry.submitted
        : Math.max(0, Date.parse(modifiedAt) - Date.parse(createdAt)) || undefined;
}


function submit({ text, from, to }) {
    const id = history.uuid();

    seen.add(id);
    history.add({ id, key: id, text, from, to, state: "sending", submitted: Date.now() });
    show(id);
    send(id);
}


async function send(id) {
    await run(id, async (signal) => {
        const accepted = await until_accepted(id, signal);

        if (!accepted) {
            return;
        }
        const cancelled = waits.get(id)?.cancelled;

        waits.delete(id);
        change(id, { state: "pending", url: accepted.url });
        if (cancelled) {
            await stop(id, accepted.url);
        } else if (accepted.operation.done) {
            finish(id, accepted.operation);
        }
    });

    if (history.get(id)?.state === "pending") {
        watch(id);
    }
}


// The key makes repeats safe, after a network error too.
async function until_accepted(id, signal) {
    const entry = history.get(id);
    let tries = 0;

    while (!signal.aborted) {
        try {
            return await api.submit(entry);

        } catch (problem) {
            if (waits.get(id)?.cancelled) {
                change(id, { state: "cancelled" });
                return null;
            }
            if (!problem.passing || (navigator.onLine && ++tries >= TRIES)) {
                throw problem;
            }
            const seconds = api.pause(problem, tries);

            wait(id, problem, seconds);
            await api.sleep(seconds, signal);
            waits.delete(id);
            if (!signal.aborted) {
                render();
            }
        }
    }
    return null;
}


// One stream or long poll at a time: browsers have few connections to a server.
function watch(id) {
    const { url } = history.get(id);

    run(id, async (signal) => {
        const operation = await api.watch(url, {
            signal,
            visible: id === shown && !document.hidden,
            onPending: () => {
                if (waits.delete(id)) {
                    render();
                }
            },
            onTrouble: (problem, seconds) => wait(id, problem, seconds),
        });

        if (operation) {
            finish(id, operation);
        }
    });
}


async function cancel(id) {
    const entry = history.get(id);

    if (!entry) {
        return;
    }
    if (entry.state === "sending" && waits.get(id)?.until) {
        work.get(id)?.abort();
        change(id, { state: "cancelled" });
        return;
    }

    // on its way: cancelled as soon as there is something to cancel
    waits.set(id, { cancelled: true });
    render();
    if (entry.state === "pending") {
        await run(id, () => stop(id, entry.url));
        if (history.get(id)?.state === "pending") {
            watch(id);
        }
    }
}


// If the server is not reached, whoever watches the operation says so.
async function stop(id, url) {
    try {
        finish(id, await api.cancel(url));
    } catch (error) {
        if (!(error instanceof api.Problem)) {
            throw error;
        }
    }
}


// What was not accepted is sent again as it is, all else is a new operation.
function retry(id) {
    const entry = history.get(id);

    if (waits.has(id)) {
        api.wake();

    } else if (entry.url) {
        submit(entry);

    } else {
        const key = entry.code === "network" ? entry.key : history.uuid();

        seen.add(id);
        history.update(id, { key, state: "sending", submitted: Date.now(), code: undefined });
        send(id);
    }
}


// A result that is shown again is mostly in the browser's cache.
function show(id) {
    const before = shown;
    const entry = history.get(id);

    shown = id;
    render();
    if (before !== id && history.get(before)?.state === "pending") {
        watch(before);
    }
    if (entry?.state === "pending" || (entry?.state === "done" && !results.has(id))) {
        watch(id);
    }
}


// Work that was going on when the page was left.
function resume() {
    history.load();
    for (const { id, state } of history.all()) {
        if (state === "sending") {
            send(id);
        } else if (state === "pending" && id !== history.all()[0].id) {
            watch(id);
        }
    }
    show(history.all()[0]?.id);
}


function remember_draft(draft) {
    try {
        sessionStorage.setItem(DRAFT, JSON.stringify(draft));
    } catch {
        // then it is lost with the page
    }
}


function draft() {
    try {
        return JSON.parse(sessionStorage.getItem(DRAFT)) ?? {};
    } catch {
        return {};
    }
}


view.start({
    draft: draft(),
    onDraft: remember_draft,
    onSubmit: submit,
    onCancel: () => cancel(shown),
    onRetry: () => retry(shown),
    onShow: show,
    onRemove: (id) => {
        if (history.is_open(history.get(id))) {
            cancel(id);
            return;
        }
        history.remove((entry) => entry.id !== id);
        shown = shown === id ? null : shown;
        render();
    },
    onClear: () => {
        history.remove(history.is_open);
        shown = history.get(shown) ? shown : null;
        render();
    },
    onInterface: render,
    result: () => results.get(shown)?.text,
    source: () => history.get(shown)?.text,
});

history.on_change(render);
document.addEventListener("visibilitychange", () => {
    if (history.get(shown)?.state === "pending" && !waits.has(shown)) {
        watch(shown);
    }
});

resume();
