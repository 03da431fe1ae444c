// The document: what stands where, in which words.  Texts of others are set as text only.

import { is_open } from "./history.js";
import { model } from "./states.js";
import * as texts from "./texts.js";

const RIGHT_TO_LEFT = new Set(["ar", "fa", "he"]);
const EXCERPT = 120;

// Bytes of a file, and characters of a text where the page names no limit of its own: it goes into
// the history with its translation.
const FILE_MAX = 2 << 20;
const TEXT_MAX = 500 * 1000;

// Texts of so many characters are set larger.
const SHORT = 300;

const { text } = texts;
const element = (id) => document.getElementById(id);
const input = element("text");
const limit = Number(input.dataset.limit ?? TEXT_MAX);
const languages = [element("from"), element("to")];

const rows = new Map();

let on;
let ticking = null;
let source = null;

// Why the text is not submitted: the name of a text, and its values.
let fault = null;


export function start(handlers) {
    on = handlers;

    for (const select of languages) {
        select.addEventListener("change", () => {
            keep_apart(select);
            drafted();
            on.onAsk(ask());
        });
    }
    input.addEventListener("input", drafted);

    element("form").addEventListener("submit", (event) => {
        event.preventDefault();
        submit();
    });
    input.addEventListener("keydown", (event) => {
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.isComposing) {
            event.preventDefault();
            if (!event.repeat) {
                submit();
            }
        }
    });
    element("swap").addEventListener("click", swap);
    element("erase").addEventListener("click", () => {
        fill({ ...ask(), text: "" });
        on.onErase();
        input.focus();
    });
    element("copy").addEventListener("click", () => copy("copy", "result"));
    element("copy-line").addEventListener("click", () => copy("copy-line", "line"));
    element("api").addEventListener("click", () => {
        expand(element("curl").hidden);
        element("curl").scrollIntoView({ block: "nearest" });
    });
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
    accept_files();
    translate();
    fill(on.draft);
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
    for (const node of document.querySelectorAll("[data-title]")) {
        node.title = text(node.dataset.title);
    }
    for (const option of document.querySelectorAll("option[value]:not([value=''])")) {
        option.textContent = texts.language_name(option.value);
    }
    for (const button of document.querySelectorAll("[data-interface]")) {
        button.setAttribute("aria-pressed", button.dataset.interface === texts.current());
    }
    input.placeholder = text(matchMedia("(pointer: coarse)").matches
        ? "placeholder_touch"
        : "placeholder");
    set("keys", text(/Mac|iPhone|iPad/.test(navigator.platform) ? "keys_mac" : "keys"));
    languages.forEach(sort);
    show_form();
}


function sort(select) {
    const value = select.value;
    const order = new Intl.Collator(texts.current()).compare;
    const named = [...select.options].filter((option) => option.value);

    named.sort((a, b) => order(a.textContent, b.textContent));
    select.append(...named);
    select.value = value;
}


// The form

export function ask() {
    const [from, to] = languages;

    return { text: input.value.replaceAll("\0", ""), from: from.value, to: to.value };
}


// A target that is not named is the browser's language.
export function fill(draft) {
    const [from, to] = languages;

    input.value = draft.text ?? "";
    from.value = draft.from ?? "";
    to.value = draft.to ?? other("");
    if (to.selectedIndex < 0) {
        to.value = other("");
    }
    keep_apart(from);
    languages.forEach(remember);
    drafted();
}


function other(code) {
    const known = [...element("to").options].map((option) => option.value);

    return [...navigator.languages.map((name) => name.slice(0, 2)), "en", "ru"]
        .find((name) => name !== code && known.includes(name));
}


// Who takes the language of the other side leaves his own there.
function keep_apart(changed) {
    const [from, to] = languages;

    if (from.value === to.value) {
        const fellow = changed === from ? to : from;

        fellow.value = changed.dataset.before || (fellow === to ? other(from.value) : "");
    }
    languages.forEach(remember);
}


function remember(select) {
    select.dataset.before = select.value;
}


// A failure of another text goes: its button would send that one.
function drafted() {
    fault = null;
    show_form();
    on.onDraft(ask());
    if (source && !is_shown() && ["failed", "cancelled", "expired"].includes(source.state)) {
        on.onErase();
    }
}


function show_form() {
    const count = input.value.length;
    const excess = count - limit;

    set("counter", text(input.dataset.limit ? "counter" : "characters",
        { count: texts.number(count), limit: texts.number(limit) }));
    element("counter").classList.toggle("bad", excess > 0);
    element("erase").hidden = count === 0;
    show_edited();

    if (fault) {
        complain(...fault);
    } else {
        invalid(excess > 0 ? text("too_long", { count: texts.number(excess) }) : "");
    }
}


function complain(name, values) {
    fault = [name, values];
    invalid(text(name, values));
    input.focus();
}


function invalid(message) {
    set("invalid", message);
    input.setAttribute("aria-invalid", message !== "");
}


function submit() {
    const asked = ask();

    if (asked.text.trim() === "") {
        complain("empty_text");
        return;
    }
    if (asked.from === asked.to) {
        complain("same");
        return;
    }
    if (asked.text.length > limit) {
        input.focus();
        return;
    }
    fault = null;
    invalid("");
    on.onSubmit(asked);
    if (matchMedia("(max-width: 759px)").matches) {
        element("panel").scrollIntoView({ block: "nearest" });
    }
}


// A translation that is shown becomes the text; what it was made of is not its translation, and
// does not stay beside it.
function swap() {
    const { text: value, from, to } = ask();
    const result = is_shown() ? source.result : undefined;

    fill({ text: result ?? value, from: to, to: from || other(to) });
    on.onErase();
    on.onAsk(ask());
}


function is_shown() {
    const asked = ask();

    return source !== null && ["text", "from", "to"].every((name) => source[name] === asked[name]);
}


function accept_files() {
    const card = element("form");
    const has_file = (event) => event.dataTransfer?.types.includes("Files");
    let depth = 0;

    const drag = (change) => (event) => {
        if (has_file(event)) {
            depth = change === 0 ? 0 : depth + change;
            card.classList.toggle("target", depth > 0);
        }
    };

    card.addEventListener("dragenter", drag(1));
    card.addEventListener("dragleave", drag(-1));
    card.addEventListener("drop", drag(0));
    for (const name of ["dragover", "drop"]) {
        addEventListener(name, (event) => {
            if (has_file(event)) {
                event.preventDefault();
            }
        });
    }
    card.addEventListener("drop", (event) => {
        if (has_file(event)) {
            read(event.dataTransfer.files[0]);
        }
    });
    element("open").addEventListener("click", () => element("file").click());
    element("file").addEventListener("change", ({ target }) => {
        read(target.files[0]);
        target.value = "";
    });
}


async function read(file) {
    if (!file) {
        return;
    }
    try {
        if (file.size > FILE_MAX) {
            throw new RangeError("too large");
        }
        const bytes = await file.arrayBuffer();
        const value = new TextDecoder("utf-8", { fatal: true }).decode(bytes);

        if (value.includes("\0")) {
            throw new TypeError("not a text");
        }
        fill({ ...ask(), text: value.replace(/\r\n?/g, "\n") });
        on.onAsk(ask());
        input.setSelectionRange(0, 0);
        input.focus();
    } catch {
        complain("not_text", { name: file.name });
    }
}


async function copy(button, from) {
    const word = element(button).querySelector("span");
    const say = (name) => {
        word.textContent = text(name);
        word.classList.toggle("news", name !== "copy");
    };

    say(await copied(element(from)) ? "copied" : "not_copied");
    setTimeout(say, 2000, "copy");
}


// The clipboard exists on https and localhost only.
async function copied(node) {
    try {
        await navigator.clipboard.writeText(node.textContent);
        return true;
    } catch {
        getSelection().selectAllChildren(node);
        return document.execCommand("copy");
    }
}


// One operation

export function panel(entry, wait, progress) {
    const state = model(entry, wait, progress);
    const result = element("result");

    source = entry ?? null;
    element("panel").dataset.state = state.name;
    document.title = [state.status, text("title")].filter(Boolean).join(" – ");
    set("status", state.status);
    set("result", state.result ?? (entry ? "" : text("nothing")));
    result.lang = state.result === undefined ? texts.current() : state.language;
    result.dir = state.result !== undefined && RIGHT_TO_LEFT.has(state.language) ? "rtl" : "ltr";
    result.setAttribute("aria-busy", state.partial);
    show_edited();
    show_progress(state);

    show("copy", state.copy);
    show("api", state.url !== undefined);
    set("line", state.url === undefined ? "" : line(state.url));
    if (state.url === undefined) {
        expand(false);
    }
    show("cancel", state.cancel);
    show("retry", state.retry !== undefined);
    set("retry", state.retry ?? "");
    tick(entry, wait, progress);
}


// Beside another text than its own, a translation says so; short texts are set larger.
function show_edited() {
    const stale = source?.result !== undefined && !is_shown();

    element("stale").hidden = !stale;
    element("panel").classList.toggle("stale", stale);
    element("form").classList.toggle("short", [input.value, element("result").textContent]
        .every((value) => value.length <= SHORT));
}


function show_progress({ bar, share }) {
    const part = element("progress").firstElementChild;

    element("progress").hidden = !bar;
    element("progress").classList.toggle("known", share !== undefined);
    part.style.width = share === undefined ? "" : `${100 * share}%`;
}


function line(url) {
    const cookie = document.cookie.split("; ")
        .find((one) => one.startsWith("translate_browser="));
    const words = ["curl", ...cookie ? ["-b", quoted(cookie)] : [], "-H", "'Accept: text/plain'",
        "-H", "'Prefer: wait=50'", quoted(new URL(url, location.href).href)];

    return words.join(" ");
}


function quoted(word) {
    return `'${word.replaceAll("'", "'\\''")}'`;
}


function expand(open) {
    element("curl").hidden = !open;
    element("api").setAttribute("aria-expanded", open);
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
function tick(entry, wait, progress) {
    const show_time = () => {
        const { note, time } = model(entry, wait, progress);

        set("timer", time);
        set("note", note);
    };

    clearInterval(ticking);
    if (entry && is_open(entry)) {
        ticking = setInterval(show_time, 250);
    }
    show_time();
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
        on.onOpen(id);
        element("panel").focus({ preventScroll: true });
        element("form").scrollIntoView({ block: "nearest" });
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
    const label = text(is_open(entry) ? "cancel_entry" : "remove", { text: excerpt(entry.text) });
    const remove = row.querySelector(".remove");
    const outcome = row.querySelector(".outcome");

    row.dataset.state = entry.state;
    row.querySelector(".excerpt").textContent = excerpt(entry.text);
    outcome.textContent = entry.result === undefined
        ? model(entry).status
        : excerpt(entry.result);
    outcome.lang = entry.result === undefined ? texts.current() : entry.to;
    row.querySelector(".about").textContent = `${pair(entry)} · ${texts.time(entry.submitted)}`;
    row.querySelector(".open").setAttribute("aria-current", shown);
    remove.setAttribute("aria-label", label);
    remove.title = label;
}


function excerpt(value) {
    return value.length > EXCERPT ? `${value.slice(0, EXCERPT).trimEnd()}…` : value;
}


function pair({ from, to }) {
    return `${from ? texts.language_name(from) : ""} → ${texts.language_name(to)}`.trim();
}


function keep_focus(node, other_node) {
    if (node.hidden || node.closest("[hidden]")) {
        other_node.focus();
    }
}
