import { fromJson, toJsonString } from '@bufbuild/protobuf';
import { type Event, EventSchema } from '#gen/serp/discuss/v1/event_pb.ts';
import { type Message, MessageSchema } from '#gen/serp/discuss/v1/message_pb.ts';
import { MessageLog } from '../../client/src/message-log.ts';

/** The client package's log of messages, for what tests receive: decoded events and messages. */
export class DecodedLog {
  readonly #log = new MessageLog();

  load(messages: readonly Message[], headSeq = 0n): void {
    const json = messages.map((message) => JSON.parse(toJsonString(MessageSchema, message)));
    this.#log.load(json, `${headSeq}`);
  }

  apply(event: Event): void {
    this.#log.apply(JSON.parse(toJsonString(EventSchema, event)));
  }

  get messages(): ReadonlyMap<bigint, Message> {
    const messages = [...this.#log.messages.values()].map((json) => fromJson(MessageSchema, json));
    return new Map(messages.map((message) => [message.id, message]));
  }
}
