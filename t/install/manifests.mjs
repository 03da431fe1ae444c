// Each document of the manifests against the schema of its kind, and
// compose.yaml against that of the Compose specification.

import { readFileSync, readdirSync } from 'node:fs';
import Ajv from 'ajv';
import yaml from 'js-yaml';

const [root] = process.argv.slice(2);
const read = (path) => readFileSync(`${root}/${path}`, 'utf8');

let count = 0;
let failed = 0;

function report(what, error) {
    count++;
    failed += error ? 1 : 0;
    console.log(`${error ? 'not ok' : 'ok'} ${count} - ${what}`);
    if (error) console.log(String(error).replace(/^/gm, '# '));
}

function attempt(what, check) {
    try {
        report(what, check());
    } catch (error) {
        report(what, error.message);
    }
}

// Kinds that are not Kubernetes' own.
const packages = {
    'monitoring.coreos.com': '@kubernetes-models/prometheus-operator',
    'gateway.networking.k8s.io': '@kubernetes-models/gateway-api',
};

async function modelOf({ apiVersion, kind }) {
    const from = packages[apiVersion.split('/')[0]] ?? 'kubernetes-models';
    return (await import(`${from}/${apiVersion}/${kind}`))[kind];
}

const folder = 'conf-examples/kubernetes';

for (const file of readdirSync(`${root}/${folder}`).filter((name) => name.endsWith('.yaml'))) {
    for (const document of yaml.loadAll(read(`${folder}/${file}`))) {
        const Model = await modelOf(document);
        attempt(`${file}: ${document.kind} ${document.metadata.name}`, () => {
            new Model(document).validate();
        });
        // a schema that takes anything would say nothing
        attempt(`${file}: ${document.kind} with a wrong name is refused`, () => {
            const wrong = structuredClone(document);
            wrong.metadata.name = 42;
            try {
                new Model(wrong).validate();
            } catch {
                return undefined;
            }
            return 'it was taken';
        });
    }
}

const ajv = new Ajv({ strict: false, formats: { duration: true, 'subnet_ip_address': true } });
const { $schema, ...schema } = JSON.parse(readFileSync(
    new URL('node_modules/dclint/schemas/compose.schema.json', import.meta.url)));
const compose = ajv.compile(schema);

attempt('compose.yaml', () => {
    const valid = compose(yaml.load(read('docker/compose.yaml')));
    return valid ? undefined : ajv.errorsText(compose.errors);
});
attempt('a service with an unknown key is refused', () => {
    const wrong = yaml.load(read('docker/compose.yaml'));
    wrong.services.edge.redonly = true;
    return compose(wrong) ? 'it was taken' : undefined;
});

console.log(`1..${count}`);
process.exit(failed ? 1 : 0);
