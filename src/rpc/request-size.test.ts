import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  create,
  type DescField,
  type DescMessage,
  type DescMethod,
  getOption,
  ScalarType,
  toBinary,
  toJsonString,
} from '@bufbuild/protobuf';
import { type ReflectMessage, reflect } from '@bufbuild/protobuf/reflect';
import { DurationSchema, StructSchema, TimestampSchema } from '@bufbuild/protobuf/wkt';
import {
  type FieldRules,
  field as rulesOption,
} from '@bufbuild/protovalidate/gen/buf/validate/validate_pb.js';
import { ActivityService } from '#gen/serp/discuss/v1/activity_service_pb.ts';
import { AdminService } from '#gen/serp/discuss/v1/admin_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { PresenceService } from '#gen/serp/discuss/v1/presence_service_pb.ts';
import { SearchService } from '#gen/serp/discuss/v1/search_service_pb.ts';
import { maxRequestBytes } from './request-size.ts';

const services = [
  ActivityService,
  AdminService,
  ChannelService,
  EventService,
  MemberService,
  MessageService,
  PresenceService,
  SearchService,
];
const serverLimit = 1_048_576;

// Batches that the contract limits by their size as well.
const limitedByBytes: readonly DescMethod[] = [
  ActivityService.method.recordActivities,
  MessageService.method.batchSendMessages,
];

test('the largest request that the contract permits fits the limit of its method', () => {
  const tooLarge = services
    .flatMap((service) => service.methods)
    .filter((method) => !limitedByBytes.includes(method))
    .map((method) => {
      const request = largest(method.input).message;
      const json = Buffer.byteLength(toJsonString(method.input, request));
      const size = Math.max(json, toBinary(method.input, request).length);
      return { method: method.toString(), size, limit: maxRequestBytes(method, serverLimit) };
    })
    .filter(({ size, limit }) => size > limit);
  assert.deepEqual(tooLarge, []);
});

test('the size of a request is limited by its method, and by the server for all methods', () => {
  assert.equal(maxRequestBytes(MessageService.method.sendMessage, serverLimit), 204_800);
  assert.equal(maxRequestBytes(MessageService.method.getMessage, serverLimit), 65_536);
  assert.equal(maxRequestBytes(EventService.method.subscribe, serverLimit), 409_600);
  assert.equal(maxRequestBytes(EventService.method.subscribe, 10_000), 10_000);
});

/** A message whose fields are as large as their rules permit. */
function largest(schema: DescMessage): ReflectMessage {
  if (schema.typeName === TimestampSchema.typeName) {
    const time = { seconds: 253_402_300_799n, nanos: 999_999_999 };
    return reflect(TimestampSchema, create(TimestampSchema, time));
  }
  if (schema.typeName === DurationSchema.typeName) {
    const time = { seconds: 315_576_000_000n, nanos: 999_999_999 };
    return reflect(DurationSchema, create(DurationSchema, time));
  }
  // Metadata has at most 8 KB as JSON.
  if (schema.typeName === StructSchema.typeName) {
    const text = { kind: { case: 'stringValue' as const, value: 'x'.repeat(8_192) } };
    return reflect(StructSchema, create(StructSchema, { fields: { key: text } }));
  }
  const message = reflect(schema);
  for (const field of schema.fields) fill(message, field);
  return message;
}

function fill(message: ReflectMessage, field: DescField): void {
  const rules = getOption(field, rulesOption);
  if (field.fieldKind !== 'list') {
    if (field.fieldKind !== 'map') message.set(field, largestValue(field, rules));
    return;
  }
  const list = message.get(field);
  const { case: kind, value } = rules.type;
  if (kind !== 'repeated') return;
  for (let count = 0; count < Number(value.maxItems); count++) list.add(largestValue(field, value.items));
}

function largestValue(field: DescField, rules: FieldRules | undefined): unknown {
  if (field.message !== undefined) return largest(field.message);
  if (field.enum !== undefined) return field.enum.values.at(-1)?.number ?? 0;
  switch (field.scalar) {
    case ScalarType.BOOL:
      return true;
    case ScalarType.INT64:
      return 2n ** 63n - 1n;
    case ScalarType.INT32:
      return 2 ** 31 - 1;
    case ScalarType.STRING:
      return textOf(rules);
    default:
      throw new Error(`no value for ${field.toString()}`);
  }
}

// A character has at most four bytes.
function textOf(rules: FieldRules | undefined): string {
  if (rules?.type.case !== 'string') return 'x'.repeat(100);
  const { maxBytes, maxLen } = rules.type.value;
  return maxBytes > 0n ? 'x'.repeat(Number(maxBytes)) : '😀'.repeat(Number(maxLen) || 36);
}
