import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';

/** Descriptors of the last released contract, against which `make check` looks for breaking changes. */
export const CONTRACT = 'proto/contract.binpb';

/** Our modules and the protos that they import. */
export const WORKSPACE = ['--config', 'scripts/buf.yaml'];

/** Writes the code generated from the protos into gen/ and client/gen/ of the folder. */
export function generate(folder: string): void {
  writeProtoDeps();
  for (const template of ['buf.gen.yaml', 'client/buf.gen.yaml'])
    execFileSync('buf', ['generate', ...WORKSPACE, '--template', template, '--output', folder], {
      stdio: 'inherit',
    });
  writeDescriptorProto(join(folder, 'gen', 'google', 'protobuf'));
}

/** Writes descriptor.proto for reflection: that of @bufbuild/protobuf has neither `go_package` nor other options. */
function writeDescriptorProto(folder: string): void {
  const bytes = execFileSync('buf', ['build', ...WORKSPACE, '--exclude-source-info', '--output', '-']);
  const { file } = fromBinary(FileDescriptorSetSchema, bytes, { readUnknownFields: false });
  const proto = file.find(({ name }) => name === 'google/protobuf/descriptor.proto');
  if (proto === undefined) throw new Error('no proto imports descriptor.proto');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'descriptor.binpb'), toBinary(FileDescriptorProtoSchema, proto));
}

/** Writes the current protos as the released contract. */
export function writeContract(): void {
  writeProtoDeps();
  writeImage(CONTRACT);
}

/** Writes the descriptors of the current protos. */
export function writeImage(path: string): void {
  execFileSync('buf', ['build', ...WORKSPACE, '--exclude-source-info', '--output', path], {
    stdio: 'inherit',
  });
}

/** Writes the protos that ours import, without which buf can neither lint nor generate. */
export function writeProtoDeps(): void {
  execFileSync(process.execPath, ['scripts/proto-deps.ts'], { stdio: 'inherit' });
}
