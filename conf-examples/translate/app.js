// What happens on the page: entries are sent, watched, cancelled, and shown by view.js.

import * as api from "./operations.js";
import * as history from "./history.js";
import * as view from "./view.js";

// A refused submit is repeated so often by itself.
const TRIES = 5;

const DRAFT = "translate.draft";
const TARGET = "translate.to";

// By entry id, of this visit only: the work going on for it, what it waits for, how far it is.
const work = new Map();
const waits = new Map();
const progress = new Map();

// Operations that were submitted in this visit.
const seen = new Set();

let shown = null;


function render() {
    const entry = history.get(shown);

    view.panel(entry, waits.get(shown), progress.get(shown));
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
            progress.delete(id);
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


// A poll tells how far it is, and not with what: a stream does.
function went_on(id, known) {
    progress.set(id, { ...known, text: known.text ?? progress.get(id)?.text });
}


function finish(id, operation) {
    const values = api.outcome(operation);
    const entry = history.get(id);

    if (values.state === "done") {
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


// What is known is shown; what came to nothing is tried anew, but for what may have been accepted:
// that is sent again by its own button only.
function submit(ask) {
    const id = history.identity(ask);

    history.load();
    const entry = history.get(id);
    const again = entry?.state === "failed"
        ? entry.code !== "outcome_unknown"
        : ["cancelled", "expired"].includes(entry?.state);

    if (entry && !again) {
        show(id);
    } else {
        begin(id, ask, entry);
    }
}


// What perhaps never arrived is sent under the same key.
function begin(id, ask, before) {
    const tries = before?.tries ?? 1;

    history.put(id, before && before.code !== "network" ? tries + 1 : tries, ask);
    seen.add(id);
    send(id, !before);
    show(id);
}


async function send(id, fresh = false) {
    await run(id, async (signal) => {
        const accepted = await until_accepted(id, signal, fresh);

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
async function until_accepted(id, signal, fresh) {
    let tries = 0;

    while (!signal.aborted) {
        const entry = history.get(id);

        if (!entry) {
            return null;
        }
        try {
            const accepted = await api.submit(entry);

            if (fresh && came_to_nothing(accepted)) {
                history.put(id, entry.tries + 1, entry);
                continue;
            }
            return accepted;

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


// An earlier try of the same text, which is in the history no more.
function came_to_nothing({ replayed, operation }) {
    return replayed && operation.done && api.outcome(operation).state !== "done";
}


// One stream or long poll at a time: browsers have few connections to a server.
function watch(id) {
    const { url } = history.get(id);

    run(id, async (signal) => {
        const operation = await api.watch(url, {
            signal,
            visible: id === shown && !document.hidden,
            onPending: (pending) => {
                waits.delete(id);
                went_on(id, api.progress(pending));
                render();
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


function retry(id) {
    const entry = history.get(id);

    if (waits.has(id)) {
        api.wake();
    } else {
        begin(id, entry, entry);
    }
}


// A translation that is not kept here is asked for again.
function show(id) {
    const before = shown;

    shown = id;
    render();
    if (before !== id && history.get(before)?.state === "pending") {
        watch(before);
    }
    follow(id);
}


// What another tab sends, this one sends too, under the same key.
function follow(id) {
    const state = history.get(id)?.state;

    if (state === "sending" && !work.has(id)) {
        send(id);
    } else if (state === "pending" || (state === "done" && history.get(id).result === undefined)) {
        watch(id);
    }
}


function open(id) {
    const entry = history.get(id);

    if (entry) {
        show(id);
        view.fill(entry);
    }
}


// What the form asks for, or what is still on its way; all that was going on goes on.
function resume() {
    const entries = history.load();
    const ask = view.ask();
    const own = history.get(history.identity(ask));

    if (own || ask.text !== "" || !entries[0] || !history.is_open(entries[0])) {
        show(own?.id ?? null);
    } else {
        open(entries[0].id);
    }
    for (const { id } of entries.filter(history.is_open)) {
        if (!work.has(id)) {
            follow(id);
        }
    }
}


function remember_draft(draft) {
    try {
        sessionStorage.setItem(DRAFT, JSON.stringify(draft));
        if (localStorage.getItem(TARGET) !== draft.to) {
            localStorage.setItem(TARGET, draft.to);
        }
    } catch {
        // then it is lost with the page
    }
}


function draft() {
    try {
        const to = localStorage.getItem(TARGET) ?? undefined;

        return { to, ...JSON.parse(sessionStorage.getItem(DRAFT)) };
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
    onOpen: open,
    onErase: () => show(null),
    onAsk: (ask) => {
        const known = history.get(history.identity(ask));

        if (known) {
            show(known.id);
        }
    },
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
});

history.on_change(() => {
    render();
    if (!work.has(shown)) {
        follow(shown);
    }
});
document.addEventListener("visibilitychange", () => {
    if (history.get(shown)?.state === "pending" && !waits.has(shown)) {
        watch(shown);
    }
});
addEventListener("pageshow", (event) => {
    if (event.persisted) {
        resume();
    }
});

// The server joins equal requests of one browser, and shows their operations to no other.
document.cookie = `translate_browser=${history.browser()}; max-age=31536000; samesite=strict`
    + (location.protocol === "https:" ? "; secure" : "");

resume();
