import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findOnPath } from '../../scripts/lib/processes.ts';
import { testProxy } from './proxy.ts';

const nginx = findOnPath('nginx');

testProxy({
  name: 'nginx with deploy/nginx.conf',
  missing: nginx === undefined ? 'nginx is not installed' : undefined,
  async prepare({ folder, edges, webPort, grpcPort }) {
    const config = readFileSync('deploy/nginx.conf', 'utf8')
      .replace('127.0.0.1:8092', edges.web.address)
      .replace('127.0.0.1:9092', edges.grpc.address)
      .replace('listen 8443', `listen 127.0.0.1:${webPort}`)
      .replace('listen 9443', `listen 127.0.0.1:${grpcPort}`);
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      (name) => `${name}_temp_path ${name};`,
    );
    writeFileSync(
      join(folder, 'nginx.conf'),
      config.replace('http {', `pid nginx.pid;\nhttp {\naccess_log off;\n${temporary.join('\n')}`),
    );
    return [nginx ?? '', '-p', folder, '-c', 'nginx.conf', '-e', 'stderr', '-g', 'daemon off;'];
  },
});
