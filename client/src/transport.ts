import type { ActivityService } from '../gen/serp/discuss/v1/activity_service_pb.d.ts';
import type { AdminService } from '../gen/serp/discuss/v1/admin_service_pb.d.ts';
import type { AttachmentService } from '../gen/serp/discuss/v1/attachment_service_pb.d.ts';
import type { ChannelService } from '../gen/serp/discuss/v1/channel_service_pb.d.ts';
import type { EventService } from '../gen/serp/discuss/v1/event_service_pb.d.ts';
import type { MemberService } from '../gen/serp/discuss/v1/member_service_pb.d.ts';
import type { MessageService } from '../gen/serp/discuss/v1/message_service_pb.d.ts';
import type { PresenceService } from '../gen/serp/discuss/v1/presence_service_pb.d.ts';
import type { SearchService } from '../gen/serp/discuss/v1/search_service_pb.d.ts';
import type { ServerService } from '../gen/serp/discuss/v1/server_service_pb.d.ts';

/** Calls of the API with messages in their JSON form: ids are decimal strings, and fields with default values are absent. */
export type Transport = {
  unary<M extends UnaryMethod>(
    method: M,
    request: RequestOf<M>,
    options?: CallOptions,
  ): Promise<ResponseOf<M>>;
  stream<M extends StreamMethod>(
    method: M,
    request: RequestOf<M>,
    options?: CallOptions,
  ): AsyncIterable<ResponseOf<M>>;
};

export type CallOptions = {
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** Deadline of the call, which the server knows too. */
  readonly timeoutMs?: number;
};

type Services = {
  ActivityService: typeof ActivityService;
  AdminService: typeof AdminService;
  AttachmentService: typeof AttachmentService;
  ChannelService: typeof ChannelService;
  EventService: typeof EventService;
  MemberService: typeof MemberService;
  MessageService: typeof MessageService;
  PresenceService: typeof PresenceService;
  SearchService: typeof SearchService;
  ServerService: typeof ServerService;
};

type MethodsOf<S extends keyof Services> = Services[S]['method'];

/** Names of RPCs as `MessageService/SendMessage`. */
type NameOf<Kind extends string> = {
  [S in keyof Services]: {
    [M in keyof MethodsOf<S> & string]: MethodsOf<S>[M] extends { methodKind: Kind }
      ? `${S}/${Capitalize<M>}`
      : never;
  }[keyof MethodsOf<S> & string];
}[keyof Services];

export type UnaryMethod = NameOf<'unary'>;
export type StreamMethod = NameOf<'server_streaming'>;

type Method<Name extends string> = Name extends `${infer S extends keyof Services}/${infer M}`
  ? Uncapitalize<M> extends keyof MethodsOf<S>
    ? MethodsOf<S>[Uncapitalize<M>]
    : never
  : never;

export type RequestOf<Name extends string> =
  Method<Name> extends { input: infer Input } ? JsonOf<Input> : never;
export type ResponseOf<Name extends string> =
  Method<Name> extends { output: infer Output } ? JsonOf<Output> : never;

type JsonOf<Desc> = Desc extends { $codegenv2: { b: { jsonType: infer Json } } } ? Json : never;
