// The gateway as one writes it for njs. This version has no shared dictionary and no
// connections that are kept alive: every poll is a poll upstream.

async function submit(r) {
    const request = {
        modelUri: 'gpt://b1gfolder/yandexgpt-lite',
        completionOptions: { temperature: 0.1, maxTokens: '2000' },
        messages: [
            { role: 'system', text: 'Translate the text' },
            { role: 'user', text: r.requestText },
        ],
    };
    const v = r.variables;
    const reply = await ngx.fetch(`${v.upstream}/foundationModels/v1/completionAsync`, {
        method: 'POST',
        headers: { 'Authorization': v.authorization, 'Content-Type': 'application/json' },
        body: JSON.stringify(request),
    });
    const body = await reply.text();
    r.headersOut['Content-Type'] = 'application/json';
    r.headersOut['Location'] = '/translate/operations/' + JSON.parse(body).id;
    r.return(202, body);
}


async function poll(r) {
    const v = r.variables;
    const id = r.uri.substring(r.uri.lastIndexOf('/') + 1);
    const reply = await ngx.fetch(`${v.upstream}/operations/${id}`, {
        headers: { 'Authorization': v.authorization },
    });
    const tag = reply.headers.get('ETag');

    if (tag) {
        r.headersOut['ETag'] = tag;
    }
    if (tag && r.headersIn['If-None-Match'] === tag) {
        return r.return(304);
    }
    const body = await reply.text();
    r.headersOut['Content-Type'] = 'application/json';
    r.return(200, body);
}


export default { submit, poll };
