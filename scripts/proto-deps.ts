/**
 * Writes the protos that the code imports and the repository does not contain into .proto-deps/, a second buf
 * module. Those of google.rpc, health checking and server reflection come from the packages that ship them. No
 * package ships buf/validate/validate.proto as source: it is printed from the descriptor that
 * @bufbuild/protovalidate bundles.
 */
import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { findPackageJSON } from 'node:module';
import { dirname, join } from 'node:path';
import type { DescEnum, DescExtension, DescField, DescFile, DescMessage } from '@bufbuild/protobuf';
import {
  type FieldDescriptorProto,
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
} from '@bufbuild/protobuf/wkt';
import { file_buf_validate_validate } from '@bufbuild/protovalidate/gen/buf/validate/validate_pb.js';

const target = join(import.meta.dirname, '..', '.proto-deps');
const maxFieldNumber = 536_870_911;

rmSync(target, { recursive: true, force: true });
copy('google-gax', 'build/protos/google/rpc/code.proto', 'google/rpc/code.proto');
copy('google-gax', 'build/protos/google/rpc/error_details.proto', 'google/rpc/error_details.proto');
copy('google-gax', 'build/protos/google/rpc/status.proto', 'google/rpc/status.proto');
copy('grpc-health-check', 'proto/health/v1/health.proto', 'grpc/health/v1/health.proto');
copy(
  '@grpc/reflection',
  'build/proto/grpc/reflection/v1/reflection.proto',
  'grpc/reflection/v1/reflection.proto',
);
copy(
  '@grpc/reflection',
  'build/proto/grpc/reflection/v1alpha/reflection.proto',
  'grpc/reflection/v1alpha/reflection.proto',
);
mkdirSync(join(target, 'buf', 'validate'), { recursive: true });
writeFileSync(join(target, 'buf', 'validate', 'validate.proto'), printFile(file_buf_validate_validate));

function copy(packageName: string, from: string, to = from): void {
  const root = dirname(findPackageJSON(packageName, import.meta.url) ?? '');
  cpSync(join(root, from), join(target, to));
}

// Supports what validate.proto uses: proto2 without maps, groups, services, defaults and nested types.
function printFile(file: DescFile): string {
  const lines = [
    'syntax = "proto2";',
    `package ${file.proto.package};`,
    ...file.proto.dependency.map((path) => `import "${path}";`),
    ...printOptions(file),
    ...file.enums.flatMap(printEnum),
    ...file.messages.flatMap(printMessage),
    ...file.extensions.map(printExtension),
  ];
  return `${lines.join('\n')}\n`;
}

// The packages of generated code that others publish.
function printOptions({ proto: { options } }: DescFile): string[] {
  return [
    `option go_package = "${options?.goPackage ?? ''}";`,
    `option java_multiple_files = ${options?.javaMultipleFiles ?? false};`,
    `option java_outer_classname = "${options?.javaOuterClassname ?? ''}";`,
    `option java_package = "${options?.javaPackage ?? ''}";`,
  ];
}

function printEnum(desc: DescEnum): string[] {
  const { value, reservedRange } = desc.proto;
  return [
    `enum ${desc.name} {`,
    ...reservedRange.map(({ start, end }) => `  reserved ${start} to ${end};`),
    ...value.map(({ name, number }) => `  ${name} = ${number};`),
    '}',
  ];
}

function printMessage(desc: DescMessage): string[] {
  const { extensionRange, reservedName, reservedRange } = desc.proto;
  return [
    `message ${desc.name} {`,
    ...reservedRange.map(({ start, end }) => `  reserved ${start} to ${end - 1};`),
    ...reservedName.map((name) => `  reserved "${name}";`),
    ...extensionRange.map(
      ({ start, end }) => `  extensions ${start} to ${end > maxFieldNumber ? 'max' : end - 1};`,
    ),
    ...desc.members.flatMap((member) =>
      member.kind === 'oneof'
        ? [`  oneof ${member.name} {`, ...member.fields.map((field) => `    ${printField(field)}`), '  }']
        : [`  ${label(member.proto)} ${printField(member)}`],
    ),
    '}',
  ];
}

function printExtension(desc: DescExtension): string {
  return `extend .${desc.extendee.typeName} { ${label(desc.proto)} ${printField(desc)} }`;
}

function printField({ proto }: DescField | DescExtension): string {
  const type = proto.typeName || FieldDescriptorProto_Type[proto.type].toLowerCase();
  return `${type} ${proto.name} = ${proto.number}${proto.options?.deprecated ? ' [deprecated = true]' : ''};`;
}

function label(proto: FieldDescriptorProto): string {
  return FieldDescriptorProto_Label[proto.label].toLowerCase();
}
