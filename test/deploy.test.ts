import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { listSettings, toConfig } from '../src/config.ts';
import { createMetrics } from '../src/telemetry/metrics.ts';
import { testEnv } from './kit/edge/edges.ts';

const FOLDER = 'deploy/kubernetes';
const MONITORING = `${FOLDER}/monitoring`;

// The defaults.
const config = toConfig({
  ...testEnv,
  GRPC_ADDR: '',
  WEB_ADDR: '',
  DRAIN_DELAY_MS: '',
  DRAIN_TIMEOUT_MS: '',
});

type Fields = { readonly [name: string]: unknown };

/** The documents of a YAML file. */
function read(file: string): unknown[] {
  return parseAllDocuments(readFileSync(file, 'utf8')).map((document) => {
    assert.deepEqual(document.errors, [], file);
    return document.toJS();
  });
}

/** The value at a path of keys and indexes. */
function at(value: unknown, path: string): unknown {
  return path.split('.').reduce<unknown>((inner, key) => (isFields(inner) ? inner[key] : undefined), value);
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null;
}

function list(value: unknown): unknown[] {
  assert.ok(Array.isArray(value));
  return value;
}

/** Paths of fields that are null, such as the second half of a text with a comma in `{ summary: a, b }`. */
function emptyFields(value: unknown, path = ''): string[] {
  if (value === null) return [path];
  if (!isFields(value)) return [];
  return Object.entries(value).flatMap(([key, inner]) => emptyFields(inner, `${path}.${key}`));
}

function ofKind(kind: string): unknown {
  const found = globSync(`${FOLDER}/*.yaml`)
    .flatMap(read)
    .find((document) => at(document, 'kind') === kind);
  assert.ok(found !== undefined, kind);
  return found;
}

describe('deploy/kubernetes', () => {
  const container = at(ofKind('Deployment'), 'spec.template.spec.containers.0');

  it('lists all its files', () => {
    for (const folder of [FOLDER, MONITORING]) {
      const [kustomization] = read(`${folder}/kustomization.yaml`);
      const files = globSync(`${folder}/*.yaml`).filter((file) => !file.endsWith('/kustomization.yaml'));
      const resources = list(at(kustomization, 'resources')).map((name) => `${folder}/${name}`);
      assert.deepEqual(resources.sort(), files.sort());
    }
  });

  it('means the same in all versions of YAML, and has no field without a value', () => {
    for (const file of globSync(`${FOLDER}/**/*.yaml`)) {
      const older = parseAllDocuments(readFileSync(file, 'utf8'), { version: '1.1' });
      assert.deepEqual(
        older.map((document) => document.toJS()),
        read(file),
        file,
      );
      assert.deepEqual(emptyFields(read(file)), [], file);
    }
  });

  it('sets only settings that the service has', () => {
    const names = new Set(listSettings().flatMap(({ name }) => [name, `${name}_FILE`]));
    const [kustomization] = read(`${FOLDER}/kustomization.yaml`);
    const literals = list(at(kustomization, 'configMapGenerator.0.literals')).map(
      (line) => `${line}`.split('=')[0],
    );
    const job = at(ofKind('Job'), 'spec.template.spec.containers.0');
    const variables = [container, job].flatMap((one) =>
      list(at(one, 'env')).map((entry) => at(entry, 'name')),
    );
    const unknown = [...literals, ...variables].filter(
      (name) => name !== 'NODE_OPTIONS' && !names.has(`${name}`),
    );
    assert.deepEqual(unknown, []);
    const required = listSettings().filter((setting) => setting.default === 'required');
    const given = new Set([...literals, ...variables].map((name) => `${name}`.replace(/_FILE$/, '')));
    assert.deepEqual(
      required.map(({ name }) => name).filter((name) => !given.has(name)),
      [],
    );
  });

  it('has the ports, files and times of the service', () => {
    const ports = list(at(container, 'ports')).map((port) => `${at(port, 'containerPort')}`);
    const addresses = [config.grpc, config.web, config.metrics].map(({ address }) =>
      address.split(':').at(-1),
    );
    assert.deepEqual(ports, addresses);
    const graceMs =
      1_000 * Number(at(ofKind('Deployment'), 'spec.template.spec.terminationGracePeriodSeconds'));
    assert.ok(graceMs > config.call.drainDelayMs + config.call.drainTimeoutMs);
    const probe = at(container, 'readinessProbe');
    const noticedMs = 1_000 * Number(at(probe, 'periodSeconds')) * Number(at(probe, 'failureThreshold'));
    assert.ok(noticedMs < config.call.drainDelayMs);
    const [, script] = list(at(ofKind('Job'), 'spec.template.spec.containers.0.command'));
    assert.ok(existsSync(`${script}`));
    const target = at(ofKind('HorizontalPodAutoscaler'), 'spec.metrics.0.pods.metric.name');
    assert.ok(createMetrics().registry.getSingleMetric(`${target}`) !== undefined);
    const images = [...readFileSync('Dockerfile', 'utf8').matchAll(/^USER (.*)$/gm)].map(([, user]) => user);
    assert.deepEqual(images, ['1000:1000']);
  });

  it('selects pods by labels that they have', () => {
    const labels = at(ofKind('Deployment'), 'spec.template.metadata.labels');
    for (const [kind, path] of [
      ['Deployment', 'spec.selector.matchLabels'],
      ['Service', 'spec.selector'],
      ['PodDisruptionBudget', 'spec.selector.matchLabels'],
      ['NetworkPolicy', 'spec.podSelector.matchLabels'],
    ] as const)
      assert.deepEqual(at(ofKind(kind), path), labels, kind);
  });
});

describe('Dockerfile', () => {
  it('and the SBOM have the optional packages of sharp', () => {
    const text = readFileSync('Dockerfile', 'utf8');
    for (const file of ['Dockerfile', 'scripts/release.ts'])
      assert.doesNotMatch(readFileSync(file, 'utf8'), /--(omit[= ]optional|no-optional)/);
    assert.match(text, /^RUN npm ci --omit=dev .*(\\\n.*)*import 'sharp'/m);
  });
});

describe('compose.yaml', () => {
  it('needs no variable, so that `down` works, and gives the service time to drain', () => {
    const text = readFileSync('compose.yaml', 'utf8');
    const required = [...text.matchAll(/(?<!\$)\$\{?(\w+)(:?[-?])?/g)].filter(([, , kind]) => kind !== ':-');
    assert.deepEqual(
      required.map(([, name]) => name),
      [],
    );
    const [compose] = read('compose.yaml');
    const { drainDelayMs, drainTimeoutMs } = config.call;
    const grace = `${at(compose, 'services.service.stop_grace_period')}`;
    assert.ok(Number.parseInt(grace, 10) * 1_000 > drainDelayMs + drainTimeoutMs);
  });
});

describe('alerts and the dashboard', () => {
  const [rule] = read(`${MONITORING}/alerts.yaml`);
  const rules = list(at(rule, 'spec.groups.0.rules'));
  const dashboard: unknown = JSON.parse(readFileSync(`${MONITORING}/dashboard.json`, 'utf8'));
  const panels = list(at(dashboard, 'panels')).flatMap((panel) => list(at(panel, 'targets')));

  it('use metrics and labels that exist', async () => {
    const known = new Map<string, readonly string[]>();
    const { registry } = createMetrics();
    for (const { name, type } of await registry.getMetricsAsJSON()) {
      const metric = registry.getSingleMetric(name);
      const labels = isFields(metric) ? list(metric['labelNames']).map(String) : [];
      const suffixes = `${type}` === 'histogram' ? ['_bucket', '_count', '_sum'] : [''];
      for (const suffix of suffixes) known.set(`${name}${suffix}`, labels);
    }
    // Those of Prometheus itself, of the scrape and of histograms.
    known.set('up', []);
    const common = new Set(['job', 'pod', 'le']);
    for (const expression of [...rules, ...panels].map((one) => `${at(one, 'expr')}`)) {
      for (const [metric, matchers = ''] of expression.matchAll(
        /\b(?:discuss_\w+|process_\w+|nodejs_\w+|up)\b(?:\{(.*?)\})?/g,
      )) {
        const name = metric.split('{')[0] ?? '';
        assert.ok(known.has(name), `${name} does not exist`);
        for (const [label] of matchers.matchAll(/\w+(?=[=!]~?")/g))
          assert.ok(common.has(label) || known.get(name)?.includes(label), `${name} has no label ${label}`);
      }
    }
  });

  it('are described in docs/operations.md, each alert with its action', () => {
    const text = readFileSync('docs/operations.md', 'utf8');
    const undocumented = rules
      .map((one) => `${at(one, 'alert')}`)
      .filter((name) => !text.includes(`| ${name} |`));
    assert.deepEqual(undocumented, []);
  });
});
