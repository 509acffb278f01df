import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { create, createRegistry, fromBinary, toJsonString } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { file_serp_discuss_v1_options } from '#gen/serp/discuss/v1/options_pb.ts';
import { withoutRules } from './proto-rules.ts';

/** The protos as they are, and without the rules of protovalidate, of which most clients have no use. */
const VARIANTS = ['with-rules', 'without-rules'] as const;

const API = join('serp', 'discuss', 'v1');

const registry = createRegistry(file_serp_discuss_v1_options);

const TEMPLATE = {
  version: 'v2',
  plugins: [{ local: 'protoc-gen-es', out: 'gen', opt: ['target=ts', 'import_extension=ts'] }],
};

/** Writes the public protos with all that they import, and the service config for gRPC clients. Needs .proto-deps. */
export function writeBundle(folder: string): void {
  const [full, stripped] = VARIANTS.map((variant) => join(folder, variant));
  if (full === undefined || stripped === undefined) throw new Error('no variants');
  for (const variant of [full, stripped]) {
    mkdirSync(join(variant, API), { recursive: true });
    cpSync(join('.proto-deps', 'google', 'rpc'), join(variant, 'google', 'rpc'), { recursive: true });
  }
  cpSync(join('.proto-deps', 'buf'), join(full, 'buf'), { recursive: true });
  for (const name of readdirSync(join('proto', API))) {
    const text = readFileSync(join('proto', API, name), 'utf8');
    writeFileSync(join(full, API, name), text);
    writeFileSync(join(stripped, API, name), withoutRules(text));
  }
  execFileSync('buf', ['format', '--write', stripped], { stdio: 'inherit' });
  assertSameContract(full, stripped);
  for (const [from, to] of [
    ['proto/README.md', 'README.md'],
    ['docs/service-config.json', 'service-config.json'],
    ['LICENSE', 'LICENSE'],
  ] as const)
    cpSync(from, join(folder, to));
}

/** Generates TypeScript from each variant, in a folder outside of this repository. */
export function generateFromBundle(folder: string): void {
  for (const variant of VARIANTS) {
    const cwd = join(folder, variant);
    const template = JSON.stringify(TEMPLATE);
    // The plugin is found in PATH, which bootstrap.mjs sets.
    execFileSync('buf', ['generate', '--template', template], { cwd, stdio: 'inherit' });
    readFileSync(join(cwd, 'gen', API, 'message_service_pb.ts'));
  }
}

/** The rules are removed from the text, so that comments remain. */
function assertSameContract(full: string, stripped: string): void {
  if (describe(full) !== describe(stripped))
    throw new Error('removing the rules of protovalidate changed the contract');
}

function describe(folder: string): string {
  const bytes = execFileSync('buf', ['build', '--exclude-source-info', '--output', '-'], {
    cwd: resolve(folder),
  });
  const { file } = fromBinary(FileDescriptorSetSchema, bytes);
  const api = file.filter(({ name }) => name.startsWith('serp/'));
  for (const proto of api) proto.dependency = proto.dependency.filter((path) => !path.startsWith('buf/'));
  const described = create(FileDescriptorSetSchema, { file: api });
  // With our own options, and without those that are unknown to the registry: the rules.
  const json: unknown = JSON.parse(
    toJsonString(FileDescriptorSetSchema, described, { registry }),
    withoutEmpty,
  );
  return JSON.stringify(json);
}

function withoutEmpty(key: string, value: unknown): unknown {
  return key === 'options' && Object.keys(Object(value)).length === 0 ? undefined : value;
}
