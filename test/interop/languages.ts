import { execFile } from 'node:child_process';
import { existsSync, globSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { canRun, findOnPath } from '../../scripts/lib/processes.ts';

/** An example that is built from the bundle of `npm run proto:bundle`. */
export type Language = {
  readonly name: string;
  /** What is missing on this machine; undefined if the example can be built. */
  readonly missing: () => string | undefined;
  /** Builds the example, and returns the command that runs it. */
  readonly build: () => Promise<readonly string[]>;
};

const PROTOS = join(process.cwd(), 'dist', 'proto', 'without-rules');
const GO_PLUGINS = [
  'google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.11',
  'google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.0',
];

export const languages: readonly Language[] = [
  {
    name: 'go',
    missing: () => (canRun('go', ['version']) ? undefined : 'go'),
    async build() {
      const folder = join(process.cwd(), 'examples', 'go');
      const bin = join(process.cwd(), '.dev', 'interop', 'bin');
      for (const plugin of GO_PLUGINS) await run('go', ['install', plugin], folder, { GOBIN: bin });
      const plugins = ['protoc-gen-go', 'protoc-gen-go-grpc'].map((name) => ({
        local: join(bin, name),
        out: '.',
        opt: ['module=discuss.serp'],
      }));
      const template = JSON.stringify({ version: 'v2', plugins });
      // Go publishes the code of google/rpc.
      await run('buf', ['generate', '--template', template, '--path', 'serp', '--output', folder], PROTOS);
      await run('go', ['build', '-o', 'example', '.'], folder);
      return [join(folder, 'example')];
    },
  },
  {
    name: 'python',
    missing: () => (canRun('python3', ['-m', 'venv', '--help']) ? undefined : 'python3 with venv'),
    async build() {
      const folder = join(process.cwd(), 'examples', 'python');
      const python = join(folder, 'venv', 'bin', 'python');
      if (!existsSync(python)) await run('python3', ['-m', 'venv', 'venv'], folder);
      await run(python, ['-m', 'pip', 'install', '--quiet', '--requirement', 'requirements.txt'], folder);
      const generated = join(folder, 'gen');
      mkdirSync(generated, { recursive: true });
      const outputs = ['--python_out', '--grpc_python_out'].map((option) => `${option}=${generated}`);
      const sources = globSync('serp/**/*.proto', { cwd: PROTOS });
      await run(python, ['-m', 'grpc_tools.protoc', '-I', '.', ...outputs, ...sources], PROTOS);
      return ['env', `PYTHONPATH=${generated}`, python, join(folder, 'example.py')];
    },
  },
  {
    name: 'java',
    missing: () => (canRun('mvn', ['--version']) ? undefined : 'mvn'),
    async build() {
      const folder = join(process.cwd(), 'examples', 'java');
      const plugin = findOnPath('grpc_java_plugin');
      const options = plugin === undefined ? [] : [`-Dgrpc.plugin=${plugin}`];
      await run('mvn', ['--quiet', '--batch-mode', ...options, 'package'], folder);
      const target = join(folder, 'target');
      const classPath = `${join(target, 'classes')}:${join(target, 'dependency')}/*`;
      return ['java', '-cp', classPath, 'example.Example'];
    },
  },
];

/** Not synchronously: the service runs in this process. */
export async function run(
  command: string,
  args: readonly string[],
  cwd: string,
  env: NodeJS.ProcessEnv = {},
): Promise<void> {
  try {
    await promisify(execFile)(command, args, { cwd, env: { ...process.env, ...env } });
  } catch (error) {
    const { stdout = '', stderr = '' } = Object(error);
    throw new Error(`${command} failed: ${stdout}${stderr}`);
  }
}
