// The gateway as one writes it for Node.js: undici's pool, answers in a map.
//
//     node gateway.mjs PORT UPSTREAM-PORT FOLDER API-KEY

import http from 'node:http';
import { createRequire } from 'node:module';

const { Pool } = createRequire(process.cwd() + '/')('undici');
const [port, upstreamPort, folder, key] = process.argv.slice(2);
const pool = new Pool(`http://127.0.0.1:${upstreamPort}`, { connections: 64 });
const headers = { 'Authorization': `Api-Key ${key}`, 'Content-Type': 'application/json' };
const answers = new Map();    // without an end: the measurement is short

async function fetch(method, path, body) {
    const reply = await pool.request({ method, path, headers, body });
    if (reply.statusCode !== 200) {
        throw new Error(`upstream: ${reply.statusCode}`);
    }
    return { body: await reply.body.text(), tag: reply.headers.etag };
}

async function submit(text, cached) {
    let answer = cached ? answers.get(text) : undefined;

    if (!answer) {
        const { body } = await fetch('POST', '/foundationModels/v1/completionAsync', JSON.stringify({
            modelUri: `gpt://${folder}/yandexgpt-lite`,
            completionOptions: { temperature: 0.1, maxTokens: '2000' },
            messages: [
                { role: 'system', text: 'Translate the text' },
                { role: 'user', text },
            ],
        }));
        answer = { body, location: '/translate/operations/' + JSON.parse(body).id };
        if (cached) {
            answers.set(text, answer);
        }
    }
    return answer;
}

async function poll(id) {
    let answer = answers.get(id);

    if (!answer || answer.until < Date.now()) {
        answer = await fetch('GET', `/operations/${id}`);
        answer.until = JSON.parse(answer.body).done ? Infinity : Date.now() + 1000;
        answers.set(id, answer);
    }
    return answer;
}

function send(response, status, body, head = {}) {
    response.writeHead(status, {
        'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body), ...head });
    response.end(body);
}

http.createServer((request, response) => {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', async () => {
        try {
            const { url } = request;
            if (request.method === 'POST') {
                const cached = url === '/cached';
                const { body, location } = await submit(Buffer.concat(chunks).toString(), cached);
                return send(response, cached ? 200 : 202, body, { Location: location });
            }
            const { body, tag } = await poll(url.substring(url.lastIndexOf('/') + 1));
            if (tag && request.headers['if-none-match'] === tag) {
                response.writeHead(304, { ETag: tag });
                return response.end();
            }
            send(response, 200, body, tag ? { ETag: tag } : {});
        } catch (error) {
            console.error(error.message);
            send(response, 502, '{}');
        }
    });
}).listen(Number(port), '127.0.0.1');
