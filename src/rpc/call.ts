import type {
  DescMethod,
  DescMethodBiDiStreaming,
  DescMethodServerStreaming,
  DescMethodUnary,
  DescService,
  MessageInitShape,
  MessageShape,
} from '@bufbuild/protobuf';
import type { Logger } from 'pino';
import type { EncodedResponse } from './encoded-response.ts';
import type { Frame } from './frame.ts';
import type { Turn } from './turns.ts';

/** The authenticated caller. A service that acts for a user has that user's ids. */
export type Caller = {
  readonly kind: 'user' | 'service' | 'operator';
  readonly tenantId: bigint;
  /** The user that makes the call, or for which it is made; 0n when a service or operator acts for no user. */
  readonly userId: bigint;
  /** Display name from the token, for notification texts; empty when the token has none. */
  readonly name: string;
  readonly roles: ReadonlySet<string>;
  /** Tenants in which a service may act besides its own; undefined: none. */
  readonly tenants?: ReadonlySet<bigint> | 'all' | undefined;
};

/** A call as handlers see it, without its request. */
export type Call = {
  readonly edge: 'grpc' | 'web';
  readonly method: DescMethod;
  readonly caller: Caller;
  /** Aborts when the client cancels or disconnects, the deadline passes, or the drain ends. */
  readonly signal: AbortSignal;
  /** The reason of `signal` when the call was ended, for which no signal is created. */
  readonly ended: Error | undefined;
  /** Epoch ms; undefined on streams without a deadline. */
  readonly deadline: number | undefined;
  readonly requestId: string;
  /** The languages that the client prefers for the texts of errors. */
  readonly acceptLanguage?: string | undefined;
  readonly log: Logger;
  /** Of an item of a batch or stream: its place among those with the same key. */
  readonly turn?: Turn | undefined;
  /** Lets the handler end the call by itself when its server or connection is about to close; without, it is ended. */
  onDrain(callback: () => void): void;
};

/**
 * Where a stream handler writes. Frames are encoded once per process and shared by all streams, so a write
 * costs one buffer write. The sink has no limit: the writer checks `buffered` and stops by itself.
 */
export type Sink = {
  write(frame: Frame): void;
  /** Bytes written and not yet passed to the connection. */
  readonly buffered: number;
  /** Called once, when `buffered` has fallen to zero again; replaces an earlier callback. */
  onDrain(callback: () => void): void;
};

/** The requests of a bidirectional stream, encoded. While it is paused, flow control stops the client. */
export type RequestStream = {
  /** Starts to read. `onEnd` is called after the client's last request. */
  read(onRequest: (request: Uint8Array) => void, onEnd: () => void): void;
  pause(): void;
  resume(): void;
};

export type UnaryHandler<M extends DescMethodUnary> = (
  request: MessageShape<M['input']>,
  call: Call,
) => Promise<MessageInitShape<M['output']> | EncodedResponse<M['output']>>;

/** Runs until the stream ends: returning ends it with OK, throwing with that error. */
export type StreamHandler<M extends DescMethodServerStreaming> = (
  request: MessageShape<M['input']>,
  call: Call,
  sink: Sink,
) => Promise<void>;

/** The same for a bidirectional stream, whose requests the handler decodes, validates and counts by itself. */
export type BidiHandler = (requests: RequestStream, call: Call, sink: Sink) => Promise<void>;

/** Every RPC of a service: leaving one out is a compile error. */
export type Handlers<S extends DescService> = {
  [K in keyof S['method']]: S['method'][K] extends DescMethodUnary
    ? UnaryHandler<S['method'][K]>
    : S['method'][K] extends DescMethodServerStreaming
      ? StreamHandler<S['method'][K]>
      : S['method'][K] extends DescMethodBiDiStreaming
        ? BidiHandler
        : never;
};

/** One service with its handlers. */
export type Route = { readonly service: DescService; readonly handlers: Readonly<Record<string, unknown>> };

export function route<S extends DescService>(service: S, handlers: Handlers<S>): Route {
  return { service, handlers };
}
