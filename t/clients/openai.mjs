// "openai.mjs FOLDER": npm's openai from that folder, asked line by line on stdin:
//
//     {"id": 1, "url": "http://127.0.0.1:80", "path": "/t", "body": {...},
//      "headers": {...}, "timeout": 1000, "retries": 5}
//
// and a line on stdout for each when it is over: {"id": 1, "requests": 2,
// "status": 202}, or with "error" instead of a status.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const { OpenAI } = createRequire(`${process.argv[2]}/`)("openai");


async function ask({ id, url, path, body, headers, timeout, retries }) {
    let requests = 0;
    const client = new OpenAI({
        baseURL: url,
        apiKey: "none",
        maxRetries: retries,
        timeout,
        fetch: (...args) => {
            requests++;
            return fetch(...args);
        },
    });
    const end = {};

    try {
        const answer = await client.post(path, { body, headers }).withResponse();

        end.status = answer.response.status;

    } catch (error) {
        end.error = error.name;
        end.status = error.status;
    }
    console.log(JSON.stringify({ id, requests, ...end }));
}


for await (const line of createInterface({ input: process.stdin })) {
    ask(JSON.parse(line));
}
