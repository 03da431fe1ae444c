// "sdk.mjs FOLDER": npm's openai from that folder, told line by line on stdin what to call:
//
//     {"id": 1, "client": {"baseURL": "http://127.0.0.1:80/v1", "apiKey": "k"},
//      "call": "responses.create", "args": [{...}], "cut": 3}
//
// and a line on stdout for each when it is over: {"id": 1, "requests": 1, "value": ...}, with
// "error" {name, class, status, code, param, type, message, requestID} instead of a value.  Of a
// stream the value is the list of its events, left behind after so many of them with "cut"; of a
// helper ("responses.stream", "chat.completions.stream") {events, final}.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const sdk = createRequire(`${process.argv[2]}/`)("openai");


async function value(client, { call, args, cut }) {
    const path = call.split(".");
    const name = path.pop();
    const on = path.reduce((object, member) => object[member], client);
    const returned = on[name](...args);

    if (name === "stream") {
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


async function ask(what) {
    const end = { id: what.id, requests: 0 };
    const client = new sdk.OpenAI({
        ...what.client,
        fetch: (...args) => {
            end.requests++;
            return fetch(...args);
        },
    });

    try {
        end.value = await value(client, what);

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
