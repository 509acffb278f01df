import type { DescMessage, DescMethod, MessageInitShape } from '@bufbuild/protobuf';
import type { CallContext } from './call-context.ts';
import type { EncodedResponse } from './encoded-response.ts';

/** Response of a handler; undefined for streams, which write to their sink. */
export type Response = MessageInitShape<DescMessage> | EncodedResponse | undefined;

/** Serves a call: the remaining interceptors, then the handler. */
export type Run = (call: CallContext) => Promise<Response>;

/**
 * One step around every handler. It is applied to each method once at startup, so that a contract that it does not
 * support fails the start and not the first call.
 */
export type Interceptor = (method: DescMethod, next: Run) => Run;

/** An RPC with its interceptors applied. */
export type Rpc = {
  readonly method: DescMethod;
  /** Authenticates and authorizes the caller from the headers alone, so that a server rejects a call without its body. */
  readonly admit: Run;
  /** Serves the call, with the same checks first. */
  readonly run: Run;
};

/** Puts the interceptors around a handler, outermost first. */
export function apply(interceptors: readonly Interceptor[], method: DescMethod, handler: Run): Run {
  return interceptors.reduceRight((next, intercept) => intercept(method, next), handler);
}
