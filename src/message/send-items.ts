import { create, fromBinary, type MessageInitShape, type MessageShape, toBinary } from '@bufbuild/protobuf';
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import {
  MessageService,
  SendMessageRequestSchema,
  type SendMessageResponseSchema,
  SendMessagesRequestSchema,
  SendMessagesResponseSchema,
  SendOutcomeSchema,
} from '#gen/serp/discuss/v1/message_service_pb.ts';
import type { Call, Handlers } from '../rpc/call.ts';
import { errors, RpcError } from '../rpc/errors.ts';
import { Frame } from '../rpc/frame.ts';
import { ItemCalls, type ItemResponse } from '../rpc/item-calls.ts';
import { maxRequestBytes } from '../rpc/request-size.ts';
import { countFitting, MAX_ITEM_BYTES } from '../rpc/response-size.ts';
import { serveRequests } from '../rpc/serve-requests.ts';
import { toStatusMessage } from '../rpc/status.ts';
import { type SendDeps, sendHandlers } from './send.ts';

type SendRequest = MessageShape<typeof SendMessageRequestSchema>;
type Outcome = MessageInitShape<typeof SendOutcomeSchema>;
type ItemHandlers = Pick<Handlers<typeof MessageService>, 'batchSendMessages' | 'sendMessages'>;

const REQUEST_FIELD = SendMessagesRequestSchema.field.request.number;
const UUID_LENGTH = 36;
const REQUEST_ID_FIELD = SendMessageRequestSchema.field.requestId.number;

/** Handlers of SendMessage for several messages: each is an item that is served like a call of SendMessage. */
export function sendItemHandlers(deps: SendDeps): ItemHandlers {
  const { config } = deps;
  const calls = new ItemCalls(MessageService.method.sendMessage, sendHandlers(deps).sendMessage, deps);
  const maxBytes = maxRequestBytes(MessageService.method.sendMessages, config.call.maxMessageBytes);
  const limits = { inFlight: config.write.streamInFlight, bufferBytes: config.event.streamBufferBytes };
  return {
    async batchSendMessages({ requests }, call) {
      const items = calls.of(call);
      const outcomes = await Promise.all(
        requests.map(async (request) => {
          const result = await items.serve(request, request.channelId);
          return toOutcome(request.requestId, result, call);
        }),
      );
      const fitting = countFitting(SendOutcomeSchema, outcomes, MAX_ITEM_BYTES);
      const replaced = outcomes.slice(fitting).map(({ requestId = '' }) => {
        const error = errors.overloaded('the outcomes do not fit in one response', fitting, 1);
        return toOutcome(requestId, error, call);
      });
      return { outcomes: [...outcomes.slice(0, fitting), ...replaced] };
    },

    async sendMessages(requests, call, sink) {
      const items = calls.of(call);
      await serveRequests({ requests, call, sink }, limits, async (bytes) => {
        const request = decode(bytes, maxBytes);
        if (request instanceof RpcError) return toFrame(toOutcome(requestIdIn(bytes), request, call));
        const result = await items.serve(request, request.channelId);
        return result instanceof RpcError
          ? toFrame(toOutcome(request.requestId, result, call))
          : toResponseFrame(request.requestId, result.binary);
      });
    },
  };
}

function toOutcome(
  requestId: string,
  result: ItemResponse<typeof SendMessageResponseSchema> | RpcError,
  { acceptLanguage }: Call,
): Outcome {
  return result instanceof RpcError
    ? { requestId, outcome: { case: 'error', value: toStatusMessage(result, acceptLanguage) } }
    : { requestId, outcome: { case: 'response', value: result.message } };
}

function toFrame(outcome: Outcome): Frame {
  const bytes = toBinary(SendMessagesResponseSchema, create(SendMessagesResponseSchema, { outcome }));
  return new Frame(SendMessagesResponseSchema, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
}

/** The frame of an outcome with a response, whose bytes stay as they are. */
function toResponseFrame(requestId: string, response: Uint8Array): Frame {
  const fields = SendOutcomeSchema.field;
  const bytes = new BinaryWriter()
    .tag(SendMessagesResponseSchema.field.outcome.number, WireType.LengthDelimited)
    .fork()
    .tag(fields.requestId.number, WireType.LengthDelimited)
    .string(requestId)
    .tag(fields.response.number, WireType.LengthDelimited)
    .bytes(response)
    .join()
    .finish();
  return new Frame(SendMessagesResponseSchema, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
}

// The fields of an absent request are invalid, so this is an error of the item.
function decode(bytes: Uint8Array, maxBytes: number): SendRequest | RpcError {
  if (bytes.length > maxBytes) return errors.requestTooLarge(maxBytes);
  try {
    return fromBinary(SendMessagesRequestSchema, bytes).request ?? create(SendMessageRequestSchema);
  } catch {
    return errors.fieldInvalid('request', `cannot be decoded as ${SendMessagesRequestSchema.typeName}`);
  }
}

/** The request id of a request that is not decoded, which the client needs to identify the outcome; empty if not found. */
function requestIdIn(bytes: Uint8Array): string {
  try {
    const request = bytesOfField(bytes, REQUEST_FIELD);
    return Buffer.from(bytesOfField(request, REQUEST_ID_FIELD).subarray(0, UUID_LENGTH)).toString();
  } catch {
    return '';
  }
}

function bytesOfField(bytes: Uint8Array, number: number): Uint8Array {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === number && type === WireType.LengthDelimited) return reader.bytes();
    reader.skip(type, field);
  }
  return new Uint8Array();
}
