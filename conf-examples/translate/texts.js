// What the page says, in the language of the browser or the one chosen here.

const NAME = "translate.interface";

const TEXTS = {
    en: {
        title: "Translate",
        interface: "Language of this page",
        from: "From this language",
        to: "Into this language",
        auto: "Detect language",
        swap: "Swap languages",
        text: "Text",
        placeholder: "Type or paste a text, or drop a file here",
        placeholder_touch: "Type or paste a text",
        open: "Open a text file",
        erase: "Erase the text",
        counter: "{count} of {limit}",
        characters: "Characters: {count}",
        submit: "Translate",
        keys: "Ctrl + Enter",
        keys_mac: "⌘ Enter",
        translation: "Translation",
        nothing: "The translation will appear here.",
        copy: "Copy",
        copied: "Copied",
        not_copied: "Not copied",
        curl: "By curl",
        curl_about: "Whoever has this line can read the translation, for three days.",
        who: "Who sees the text: this server and Yandex’s language model, which is asked not to log it and keeps the translation for three days.",
        cancel: "Cancel",
        retry: "Try again",
        resend: "Send it all the same",
        now: "Try now",
        history: "History",
        kept: "The last fifty texts and translations, kept in this browser only.",
        clear: "Clear",
        clear_all: "Remove every finished translation from this browser’s history?",
        remove: "Remove from the history: {text}",
        cancel_entry: "Cancel: {text}",
        seconds: "{count} s",
        again_in: "Again in {count} s",
        offline: "You are offline. It goes on once the connection is back.",
        empty_text: "Type a text first.",
        too_long: "Characters too many: {count}.",
        same: "Choose two different languages.",
        not_text: "“{name}” is no text in UTF-8, or larger than 2 MB.",
        stale: "The text or the languages have changed since.",
        line: "Not accepted yet: the server may be sending the texts before it.",
        long: "This takes longer than usual. You need not wait here: it stays in the history.",

        state_sending: "Sending…",
        state_pending: "Translating…",
        state_done: "Done",
        state_failed: "Failed",
        state_cancelled: "Cancelled",
        state_expired: "No longer available",
        state_cancelling: "Cancelling…",
        state_waiting: "Waiting",
        state_queued: "Waiting for its turn",
        state_refused: "Not accepted",
        state_parts: "Translating… {done} of {parts} parts",
        expired: "The server keeps translations for three days; this one was not fetched in time.",
        truncated: "Incomplete: it reached the longest length allowed",

        wait_network: "No connection to the server.",
        wait_quota_exceeded: "Too many requests at the moment.",
        wait_zone_full: "The server has no room at the moment.",
        wait_upstream_unavailable: "The translation service is not available at the moment.",
        wait_upstream_timeout: "The translation service does not answer at the moment.",
        wait_upstream_rejected: "The translation service refuses to say how far it is. Tell whoever runs this page; the translation is not lost.",
        wait_unknown: "Something went wrong on the way. The translation is not lost.",

        network: "No connection to the server. Trying again cannot be charged twice.",
        invalid_request: "The service does not accept this text.",
        forbidden: "You may not use this service. Sign in, and try again.",
        operation_not_found: "The server does not know this translation.",
        request_too_large: "The text is too long.",
        quota_exceeded: "Too many requests. Try again in a while; nothing was sent.",
        zone_full: "The server has no room. Try again in a while; nothing was sent.",
        upstream_unavailable: "The translation service is not available. Try again in a while.",
        upstream_timeout: "The translation service does not answer. Try again in a while.",
        upstream_rejected: "The service refused the request. Tell whoever runs this page.",
        outcome_unknown: "No answer came. The text may have been accepted: trying again may be charged twice.",
        filtered: "The service’s content filter withheld the translation.",
        empty: "The service returned no text.",
        grpc_3: "The service does not accept this text.",
        grpc_4: "The service took too long.",
        grpc_5: "The service lost this translation.",
        grpc_8: "The service is at its limit. Try again in a while.",
        unknown: "Something went wrong.",
    },

    ru: {
        title: "Перевод",
        interface: "Язык страницы",
        from: "С какого языка",
        to: "На какой язык",
        auto: "Определить язык",
        swap: "Поменять языки местами",
        text: "Текст",
        placeholder: "Введите или вставьте текст либо перетащите сюда файл",
        placeholder_touch: "Введите или вставьте текст",
        open: "Открыть текстовый файл",
        erase: "Стереть текст",
        counter: "{count} из {limit}",
        characters: "Знаков: {count}",
        submit: "Перевести",
        keys: "Ctrl + Enter",
        keys_mac: "⌘ Enter",
        translation: "Перевод",
        nothing: "Здесь появится перевод.",
        copy: "Копировать",
        copied: "Скопировано",
        not_copied: "Не удалось",
        curl: "Через curl",
        curl_about: "Прочесть перевод может всякий, у кого есть эта строка, — три дня.",
        who: "Кто видит текст: этот сервер и языковая модель Яндекса; её просят не записывать текст, а перевод она хранит три дня.",
        cancel: "Отменить",
        retry: "Повторить",
        resend: "Всё равно отправить",
        now: "Сейчас",
        history: "История",
        kept: "Последние пятьдесят текстов и переводов; хранятся только в этом браузере.",
        clear: "Очистить",
        clear_all: "Убрать из истории этого браузера все завершённые переводы?",
        remove: "Убрать из истории: {text}",
        cancel_entry: "Отменить: {text}",
        seconds: "{count} с",
        again_in: "Повтор через {count} с",
        offline: "Нет сети. Перевод продолжится, когда связь вернётся.",
        empty_text: "Сначала введите текст.",
        too_long: "Лишних знаков: {count}.",
        same: "Выберите два разных языка.",
        not_text: "«{name}» — не текст в UTF-8 или больше 2 МБ.",
        stale: "Текст или языки с тех пор изменились.",
        line: "Ещё не принято: возможно, сервер отправляет тексты перед ним.",
        long: "Это дольше обычного. Ждать здесь не обязательно: перевод останется в истории.",

        state_sending: "Отправляется…",
        state_pending: "Переводится…",
        state_done: "Готово",
        state_failed: "Не удалось",
        state_cancelled: "Отменено",
        state_expired: "Больше недоступен",
        state_cancelling: "Отменяется…",
        state_waiting: "Ожидание",
        state_queued: "Ждёт очереди",
        state_refused: "Не принято",
        state_parts: "Переводится… частей: {done} из {parts}",
        expired: "Сервер хранит переводы три дня; этот не успели забрать.",
        truncated: "Неполный: достигнута наибольшая длина",

        wait_network: "Нет связи с сервером.",
        wait_quota_exceeded: "Сейчас слишком много запросов.",
        wait_zone_full: "На сервере сейчас нет места.",
        wait_upstream_unavailable: "Сервис перевода сейчас недоступен.",
        wait_upstream_timeout: "Сервис перевода сейчас не отвечает.",
        wait_upstream_rejected: "Сервис перевода отказывается сообщать, готово ли. Скажите тому, кто ведёт эту страницу; перевод не потерян.",
        wait_unknown: "По дороге что-то пошло не так. Перевод не потерян.",

        network: "Нет связи с сервером. За повтор дважды не спишется.",
        invalid_request: "Сервис не принимает этот текст.",
        forbidden: "У вас нет доступа к сервису. Войдите и повторите.",
        operation_not_found: "Сервер не знает этого перевода.",
        request_too_large: "Текст слишком длинный.",
        quota_exceeded: "Слишком много запросов. Повторите позже; ничего не отправлено.",
        zone_full: "На сервере нет места. Повторите позже; ничего не отправлено.",
        upstream_unavailable: "Сервис перевода недоступен. Повторите позже.",
        upstream_timeout: "Сервис перевода не отвечает. Повторите позже.",
        upstream_rejected: "Сервис отклонил запрос. Сообщите тому, кто ведёт эту страницу.",
        outcome_unknown: "Ответ не пришёл. Текст мог быть принят: за повтор может списаться дважды.",
        filtered: "Фильтр содержимого сервиса не пропустил перевод.",
        empty: "Сервис не вернул текста.",
        grpc_3: "Сервис не принимает этот текст.",
        grpc_4: "Сервис не уложился в отведённое время.",
        grpc_5: "Сервис потерял этот перевод.",
        grpc_8: "Сервис на пределе. Повторите позже.",
        unknown: "Что-то пошло не так.",
    },
};

let language = chosen() ?? preferred();


function chosen() {
    try {
        const name = localStorage.getItem(NAME);

        return name in TEXTS ? name : undefined;
    } catch {
        return undefined;
    }
}


function preferred() {
    const known = (navigator.languages ?? [navigator.language])
        .map((name) => name.slice(0, 2).toLowerCase())
        .find((name) => name in TEXTS);

    return known ?? "en";
}


export function current() {
    return language;
}


export function choose(name) {
    language = name;
    try {
        localStorage.setItem(NAME, name);
    } catch {
        // for this visit only
    }
}


export function text(name, values = {}) {
    const known = TEXTS[language];
    const template = known[name] ?? known[name.startsWith("wait_") ? "wait_unknown" : "unknown"];

    return template.replace(/\{(\w+)\}/g, (_, key) => values[key]);
}


export function number(value, digits = 0) {
    return value.toLocaleString(language, {
        minimumFractionDigits: digits,
        maximumFractionDigits: digits,
    });
}


// "14:05" of today, "24 Nov, 14:05" of another day.
export function time(milliseconds) {
    const date = new Date(milliseconds);
    const day = date.toDateString() === new Date().toDateString()
        ? {}
        : { day: "numeric", month: "short" };

    return date.toLocaleString(language, { ...day, hour: "numeric", minute: "2-digit" });
}


export function language_name(code) {
    const name = new Intl.DisplayNames(language, { type: "language" }).of(code);

    return name.charAt(0).toLocaleUpperCase(language) + name.slice(1);
}
