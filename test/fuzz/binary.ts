import { type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { type Values, valueName } from './values.ts';

const MAX_DEPTH = 4;

/** A message in the binary codec, with random values in most of its fields. */
export function randomBinary(desc: DescMessage, values: Values, depth = 0): Uint8Array<ArrayBuffer> {
  const writer = new BinaryWriter();
  for (const field of fieldsToSet(desc, values)) {
    if (values.odd() && values.chance(20)) writeOtherType(writer, field, values);
    else writeField(writer, field, values, depth);
  }
  if (values.odd()) writer.tag(values.random.below(1_000) + 500, WireType.Varint).uint64(2n ** 63n);
  return writer.finish();
}

/** The fields to set: most of them, and one of each oneof. */
export function fieldsToSet(desc: DescMessage, values: Values): DescField[] {
  const chosen = new Map(desc.oneofs.map((oneof) => [oneof, values.random.pick(oneof.fields)]));
  return desc.fields.filter((field) => {
    if (field.oneof !== undefined && !values.odd()) return chosen.get(field.oneof) === field;
    return values.sets(field);
  });
}

function writeField(writer: BinaryWriter, field: DescField, values: Values, depth: number): void {
  switch (field.fieldKind) {
    case 'list': {
      const length = values.length(field.name);
      for (let index = 0; index < length; index += 1) writeItem(writer, field, values, depth, index);
      return;
    }
    case 'map': {
      writer.tag(field.number, WireType.LengthDelimited).fork();
      writer.tag(1, WireType.LengthDelimited).string(values.text('key', 0));
      if (field.message !== undefined) writeMessage(writer, 2, field.message, values, depth);
      writer.join();
      return;
    }
    default:
      writeItem(writer, field, values, depth, 0);
  }
}

function writeItem(writer: BinaryWriter, field: DescField, values: Values, depth: number, index: number) {
  const { number } = field;
  if (field.message !== undefined) writeMessage(writer, number, field.message, values, depth);
  else if (field.enum !== undefined) writer.tag(number, WireType.Varint).int32(values.enumNumber(field.enum));
  else writeScalar(writer, number, valueName(field), field.scalar, values, index);
}

function writeMessage(
  writer: BinaryWriter,
  number: number,
  message: DescMessage,
  values: Values,
  depth: number,
): void {
  const bytes = depth < MAX_DEPTH ? randomBinary(message, values, depth + 1) : new Uint8Array();
  writer.tag(number, WireType.LengthDelimited).bytes(bytes);
}

function writeScalar(
  writer: BinaryWriter,
  number: number,
  name: string,
  scalar: ScalarType | undefined,
  values: Values,
  index: number,
): void {
  switch (scalar) {
    case ScalarType.STRING: {
      const isBroken = values.odd() && values.chance(20);
      const bytes = isBroken ? Buffer.from([0x61, 0xff, 0xc0]) : Buffer.from(values.text(name, index));
      writer.tag(number, WireType.LengthDelimited).bytes(bytes);
      return;
    }
    case ScalarType.BYTES:
      writer.tag(number, WireType.LengthDelimited).bytes(values.bytes());
      return;
    case ScalarType.BOOL:
      writer.tag(number, WireType.Varint).int64(values.odd() ? -1n : BigInt(values.random.below(2)));
      return;
    case ScalarType.DOUBLE:
      writer.tag(number, WireType.Bit64).double(values.double());
      return;
    case ScalarType.INT64:
      writer.tag(number, WireType.Varint).int64(values.int64(name));
      return;
    case ScalarType.INT32:
      writer.tag(number, WireType.Varint).int32(values.int32(name));
      return;
    default:
      throw new Error(`the contract has a field of another scalar type now: ${name}`);
  }
}

/** The field with a wire type that is not its own. */
function writeOtherType(writer: BinaryWriter, { number }: DescField, values: Values): void {
  const type = values.random.pick([
    WireType.Varint,
    WireType.Bit32,
    WireType.Bit64,
    WireType.LengthDelimited,
    WireType.StartGroup,
    WireType.EndGroup,
  ]);
  writer.tag(number, type);
  if (type === WireType.Varint) writer.uint64(2n ** 64n - 1n);
  else if (type === WireType.Bit32) writer.fixed32(0xffffffff);
  else if (type === WireType.Bit64) writer.fixed64(1n);
  else if (type === WireType.LengthDelimited) writer.bytes(Buffer.alloc(values.random.below(20), 0xff));
}

/** Length-delimited fields within each other: as many levels as fit in `size` bytes. */
export function nestedBinary(fieldNumbers: readonly number[], size: number): Uint8Array<ArrayBuffer> {
  const heads: Buffer[] = [];
  let length = 0;
  for (let level = 0; length < size; level += 1) {
    const head = new BinaryWriter()
      .tag(fieldNumbers[level % fieldNumbers.length] ?? 1, WireType.LengthDelimited)
      .uint32(length)
      .finish();
    heads.push(Buffer.from(head));
    length += head.length;
  }
  return new Uint8Array(Buffer.concat(heads.reverse()));
}
