// "sdk.mjs FOLDER PACKAGE": a client of npm's from that folder, told line by line on stdin what to
// call:
//
//     {"id": 1, "client": {"baseURL": "http://127.0.0.1:80/v1", "apiKey": "k"},
//      "call": "responses.create", "args": [{...}], "cut": 3}
//
// and a line on stdout for each when it is over: {"id": 1, "value": ...}, with "error" {name, class,
// status, code, param, type, message, requestID} instead of a value.
//
// openai: the client's options are those of its constructor, and the line has "requests", how many
// it sent.  Of a stream the value is the list of its events, left behind after so many of them with
// "cut"; of a helper ("responses.stream", "chat.completions.stream") {events, final}.
//
// deepl-node: the client has "authKey" and the constructor's options.  libretranslate: what the
// client has is added to what it is called with.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [folder, name] = process.argv.slice(2);
const sdk = createRequire(`${folder}/`)(name);


async function openai({ client: options, call, args, cut }, end) {
    end.requests = 0;
    const client = new sdk.OpenAI({
        ...options,
        fetch: (...what) => {
            end.requests++;
            return fetch(...what);
        },
    });
    const path = call.split(".");
    const last = path.pop();
    const on = path.reduce((object, member) => object[member], client);
    const returned = on[last](...args);

    if (last === "stream") {
        const events = [];

        for await (const event of returned) {
            events.push(event);
        }
        const final = call === "responses.stream" ? await returned.finalResponse()
            : await returned.finalChatCompletion();

        return { events, final };
    }

    const { data, response, request_id } = await returned.withResponse();

    if (data instanceof Object && Symbol.asyncIterator in data && "controller" in data) {
        const events = [];

        for await (const event of data) {
            events.push(event);

            if (events.length === cut) {
                break;
            }
        }
        return events;
    }

    if (Array.isArray(data?.data)) {
        return { list: data.data, request_id };
    }
    return data === undefined ? null : {
        ...data, request_id,
        poll_after: response.headers.get("openai-poll-after-ms"),
    };
}


function deepl({ client: { authKey, ...options }, call, args }) {
    return new sdk.DeepLClient(authKey, options)[call](...args);
}


function libretranslate({ client, call, args: [what] }) {
    return sdk[call]({ ...client, ...what });
}


const value = { openai, "deepl-node": deepl, libretranslate }[name];


async function ask(what) {
    const end = { id: what.id };

    try {
        end.value = await value(what, end);

    } catch (error) {
        const { name, status, code, param, type, message, requestID } = error;

        end.error = { name, class: error.constructor.name, status, code, param, type, message,
            requestID };
    }
    console.log(JSON.stringify(end));
}


for await (const line of createInterface({ input: process.stdin })) {
    ask(JSON.parse(line));
}
