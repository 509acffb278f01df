import { type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';
import { fieldsToSet } from './binary.ts';
import { LONE_SURROGATE, type Values, valueName } from './values.ts';

const MAX_DEPTH = 4;
const TIMES = [
  '0001-01-01T00:00:00Z',
  '9999-12-31T23:59:59.999999999Z',
  '0000-12-31T23:59:59Z',
  '+300000-01-01T00:00:00Z',
  '2026-02-30T00:00:00Z',
  '2026-01-01T24:00:00Z',
  '2026-01-01T00:00:00+25:00',
  '2026-01-01',
  '',
];
// JSON text that fits no field, or only another one.
const MISFITS = [
  'null',
  'true',
  '-0',
  '1e400',
  '1.5',
  '[]',
  '{}',
  '[null]',
  '"NaN"',
  '"Infinity"',
  '"0x10"',
  '" 1"',
  '"1e3"',
  `"${'9'.repeat(20_000)}"`,
  '9'.repeat(20_000),
  '{"__proto__": {"a": 1}, "constructor": null}',
  JSON.stringify(LONE_SURROGATE),
  '"\\u0000"',
];

/** A message as JSON text, with random values in most of its fields. */
export function randomJson(desc: DescMessage, values: Values, depth = 0): string {
  if (values.odd() && values.chance(30)) return values.random.pick(MISFITS);
  switch (desc.typeName) {
    case 'google.protobuf.Timestamp':
      return JSON.stringify(randomTime(values));
    case 'google.protobuf.FieldMask':
      return JSON.stringify([0, 1].map((index) => toCamel(values.text('paths', index))).join(','));
    case 'google.protobuf.Struct':
      return randomStruct(values, depth);
    default:
      return `{${fieldsToSet(desc, values)
        .map((field) => member(field, values, depth))
        .join(',')}}`;
  }
}

function member(field: DescField, values: Values, depth: number): string {
  const name = values.chance(80) ? field.jsonName : field.name;
  const pair = `${JSON.stringify(name)}:${fieldJson(field, values, depth)}`;
  return values.odd() && values.chance(10) ? `${pair},${pair}` : pair;
}

function fieldJson(field: DescField, values: Values, depth: number): string {
  if (values.odd() && values.chance(30)) return values.random.pick(MISFITS);
  if (field.fieldKind !== 'list') return itemJson(field, values, depth, 0);
  const items = Array.from({ length: values.length(field.name) }, (_, index) =>
    itemJson(field, values, depth, index),
  );
  return `[${items.join(',')}]`;
}

function itemJson(field: DescField, values: Values, depth: number, index: number): string {
  if (field.message !== undefined)
    return depth < MAX_DEPTH ? randomJson(field.message, values, depth + 1) : '{}';
  if (field.enum !== undefined) {
    const number = values.enumNumber(field.enum);
    const name = field.enum.value[number]?.name;
    return name !== undefined && values.chance(70) ? JSON.stringify(name) : `${number}`;
  }
  switch (field.scalar) {
    case ScalarType.STRING:
      return JSON.stringify(values.text(valueName(field), index));
    case ScalarType.BYTES:
      return JSON.stringify(Buffer.from(values.bytes()).toString('base64'));
    case ScalarType.BOOL:
      return values.random.pick(['true', 'false']);
    case ScalarType.INT64:
      return values.chance(80) ? `"${values.int64(field.name)}"` : `${values.int64(field.name)}`;
    default:
      return `${values.int32(field.name)}`;
  }
}

function randomTime(values: Values): string {
  if (values.odd()) return values.random.pick(TIMES);
  return new Date(Number(values.int64('seconds') % 8_000_000_000n) * 1_000).toISOString();
}

function randomStruct(values: Values, depth: number): string {
  const { random } = values;
  const key = JSON.stringify(values.text('key', 0));
  const inner = depth < MAX_DEPTH && values.chance(30) ? randomStruct(values, depth + 1) : '1';
  const value = values.odd()
    ? random.pick(MISFITS)
    : random.pick([inner, `[${inner}]`, JSON.stringify(values.text('content', 0)), `${random.below(9)}.5`]);
  return `{${key}:${value}}`;
}

function toCamel(path: string): string {
  return path.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/** Arrays or objects within each other: as many levels as fit in `size` characters. */
export function nestedJson(fieldName: string, open: '[' | '{"a":', size: number): string {
  const levels = Math.floor(size / (open.length + 1));
  const close = open === '[' ? ']' : '}';
  return `{${JSON.stringify(fieldName)}:${open.repeat(levels)}1${close.repeat(levels)}}`;
}
