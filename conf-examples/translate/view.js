// The document: what stands where, in which words.  Texts of others are set as text only.

import { is_open } from "./history.js";
import * as texts from "./texts.js";

const RIGHT_TO_LEFT = new Set(["ar", "fa", "he"]);
const EXCERPT = 80;

const { text } = texts;
const element = (id) => document.getElementById(id);
const input = element("text");
const limit = Number(input.dataset.limit);

const rows = new Map();

let on;
let ticking = null;
let source = "";


export function start(handlers) {
    on = handlers;

    input.value = on.draft.text ?? "";
    for (const id of ["from", "to"]) {
        if (on.draft[id] !== undefined) {
            element(id).value = on.draft[id];
        }
        element(id).addEventListener("change", drafted);
    }
    input.addEventListener("input", drafted);

    element("form").addEventListener("submit", (event) => {
        event.preventDefault();
        submit();
    });
    input.addEventListener("keydown", (event) => {
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.isComposing) {
            event.preventDefault();
            submit();
        }
    });
    element("swap").addEventListener("click", swap);
    element("copy").addEventListener("click", copy);
    element("cancel").addEventListener("click", () => on.onCancel());
    element("retry").addEventListener("click", () => on.onRetry());
    element("clear").addEventListener("click", () => {
        if (confirm(text("clear_all"))) {
            on.onClear();
            keep_focus(element("clear"), input);
        }
    });
    for (const button of document.querySelectorAll("[data-interface]")) {
        button.addEventListener("click", () => {
            texts.choose(button.dataset.interface);
            translate();
            on.onInterface();
        });
    }
    for (const name of ["online", "offline"]) {
        addEventListener(name, show_offline);
    }
    translate();
}


function translate() {
    document.documentElement.lang = texts.current();
    document.title = text("title");
    for (const node of document.querySelectorAll("[data-text]")) {
        node.textContent = text(node.dataset.text);
    }
    for (const node of document.querySelectorAll("[data-label]")) {
        node.setAttribute("aria-label", text(node.dataset.label));
        node.title = text(node.dataset.label);
    }
    for (const option of document.querySelectorAll("option[value]:not([value=''])")) {
        option.textContent = texts.language_name(option.value);
    }
    for (const button of document.querySelectorAll("[data-interface]")) {
        button.setAttribute("aria-pressed", button.dataset.interface === texts.current());
    }
    input.placeholder = text("placeholder");
    element("submit").title = text("shortcut");
    sort(element("from"));
    sort(element("to"));
    show_offline();
    drafted();
}


function sort(select) {
    const value = select.value;
    const order = new Intl.Collator(texts.current()).compare;
    const named = [...select.options].filter((option) => option.value);

    named.sort((a, b) => order(a.textContent, b.textContent));
    select.append(...named);
    select.value = value;
}


function show_offline() {
    element("offline").hidden = navigator.onLine;
    element("offline").textContent = navigator.onLine ? "" : text("offline");
}


// The form

function drafted() {
    const count = input.value.length;
    const excess = count - limit;

    element("counter").textContent = text("counter", {
        count: texts.number(count),
        limit: texts.number(limit),
    });
    element("counter").classList.toggle("bad", excess > 0);
    invalid(excess > 0 ? text("too_long", { count: texts.number(excess) }) : "");
    element("swap").disabled = element("from").value === "";
    show_source();
    on.onDraft({ text: input.value, from: element("from").value, to: element("to").value });
}


function invalid(message) {
    element("invalid").textContent = message;
    input.setAttribute("aria-invalid", message !== "");
}


function submit() {
    const value = input.value.replaceAll("\0", "");

    if (value.trim() === "" || value.length > limit) {
        if (value.length <= limit) {
            invalid(text("empty_text"));
        }
        input.focus();
        return;
    }
    invalid("");
    on.onSubmit({ text: value, from: element("from").value, to: element("to").value });
    if (matchMedia("(max-width: 759px)").matches) {
        element("panel").scrollIntoView({ block: "nearest" });
    }
}


// A result that is shown changes places with its text.
function swap() {
    const from = element("from").value;
    const result = on.result();

    element("from").value = element("to").value;
    element("to").value = from;
    if (result !== undefined && on.source() === input.value) {
        input.value = result;
    }
    drafted();
}


async function copy() {
    const done = await copied(on.result());

    element("copy").textContent = text(done ? "copied" : "copy");
    element("note").textContent = done ? "" : text("not_copied");
    setTimeout(() => {
        element("copy").textContent = text("copy");
    }, 2000);
}


// The clipboard exists on https and localhost only.
async function copied(value) {
    try {
        await navigator.clipboard.writeText(value);
        return true;
    } catch {
        getSelection().selectAllChildren(element("result"));
        return document.execCommand("copy");
    }
}


// One operation

export function panel(entry, wait, result) {
    const state = entry?.state ?? "empty";
    const open = entry !== undefined && is_open(entry);
    const waiting = wait?.until !== undefined;
    const stopping = wait?.cancelled === true;

    element("panel").dataset.state = waiting ? "waiting" : state;
    set("pair", entry ? pair(entry) : "");
    source = entry?.text ?? "";
    show_source();
    set("status", status(entry, wait));
    set("note", note(entry, result));
    element("progress").hidden = !open || waiting;

    const shown = element("result");

    set("result", result?.text ?? (entry ? "" : text("nothing")));
    shown.lang = result ? entry.to : texts.current();
    shown.dir = result && RIGHT_TO_LEFT.has(entry.to) ? "rtl" : "ltr";

    show("copy", Boolean(result));
    show("cancel", open && !stopping);
    show("retry", ["failed", "cancelled", "expired"].includes(state) || waiting);
    set("retry", text(waiting ? "now" : "retry"));
    tick(entry, wait);
}


// Beside the same text in the form it would stand there twice.
function show_source() {
    set("source", source);
    element("source").hidden = source === "" || source === input.value;
}


function status(entry, wait) {
    if (!entry) {
        return "";
    }
    if (wait?.cancelled) {
        return text("state_cancelling");
    }
    if (wait) {
        return text(`wait_${wait.code}`);
    }
    if (entry.state === "failed") {
        return text(entry.code);
    }
    return text(entry.state === "expired" ? "expired" : `state_${entry.state}`);
}


// The words of the service or the server, where ours know less.
function note(entry, result) {
    if (result?.note) {
        return text(result.note);
    }
    return entry?.state === "failed" && /^(grpc_\d+|invalid_request|unknown)$/.test(entry.code)
        ? entry.detail ?? ""
        : "";
}


function pair({ from, to }) {
    return `${from ? texts.language_name(from) : ""} → ${texts.language_name(to)}`.trim();
}


// Text that is read aloud when it changes is left alone when it does not.
function set(id, value) {
    if (element(id).textContent !== value) {
        element(id).textContent = value;
    }
}


function show(id, visible) {
    const node = element(id);
    const focused = node === document.activeElement;

    node.hidden = !visible;
    if (focused && !visible) {
        element("panel").focus();
    }
}


// Seconds go by beside the state, and are not read aloud.
function tick(entry, wait) {
    clearInterval(ticking);
    if (entry && is_open(entry)) {
        ticking = setInterval(() => set("timer", elapsed(entry, wait)), 250);
    }
    set("timer", entry ? elapsed(entry, wait) : "");
}


function elapsed(entry, wait) {
    if (wait?.until) {
        const count = Math.max(0, Math.ceil((wait.until - Date.now()) / 1000));

        return text("again_in", { count: texts.number(count) });
    }
    if (is_open(entry)) {
        const count = Math.max(0, Math.floor((Date.now() - entry.submitted) / 1000));

        return text("seconds", { count: texts.number(count) });
    }
    return entry.state === "done" && entry.took !== undefined
        ? text("seconds", { count: texts.number(entry.took / 1000, 1) })
        : "";
}


// The history

export function entries(list, shown) {
    const ids = new Set(list.map((entry) => entry.id));

    for (const [id, row] of rows) {
        if (!ids.has(id)) {
            row.remove();
            rows.delete(id);
        }
    }
    list.forEach((entry, index) => {
        const row = rows.get(entry.id) ?? make_row(entry.id);

        fill_row(row, entry, entry.id === shown);
        if (element("entries").children[index] !== row) {
            element("entries").insertBefore(row, element("entries").children[index] ?? null);
        }
    });
    element("history").hidden = list.length === 0;
    element("clear").hidden = list.every(is_open);
}


function make_row(id) {
    const row = element("entry").content.firstElementChild.cloneNode(true);

    row.querySelector(".open").addEventListener("click", () => {
        on.onShow(id);
        element("panel").focus();
        element("panel").scrollIntoView({ block: "nearest" });
    });
    row.querySelector(".remove").addEventListener("click", () => {
        const next = (row.nextElementSibling ?? row.previousElementSibling)
            ?.querySelector(".remove");

        on.onRemove(id);
        if (!row.isConnected) {
            (next ?? input).focus();
        }
    });
    rows.set(id, row);
    return row;
}


function fill_row(row, entry, shown) {
    const excerpt = entry.text.length > EXCERPT
        ? `${entry.text.slice(0, EXCERPT).trimEnd()}…`
        : entry.text;
    const label = text(is_open(entry) ? "cancel_entry" : "remove", { text: excerpt });
    const remove = row.querySelector(".remove");

    row.dataset.state = entry.state;
    row.querySelector(".excerpt").textContent = excerpt;
    row.querySelector(".about").textContent = `${pair(entry)} · ${texts.time(entry.submitted)}`;
    row.querySelector(".outcome").textContent = text(`state_${entry.state}`);
    row.querySelector(".open").setAttribute("aria-current", shown);
    remove.setAttribute("aria-label", label);
    remove.title = label;
}


function keep_focus(node, other) {
    if (node.hidden || node.closest("[hidden]")) {
        other.focus();
    }
}
