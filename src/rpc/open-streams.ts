import type { CallContext } from './call-context.ts';
import type { Identity } from './claims.ts';
import type { RpcError } from './errors.ts';

const CHECK_MS = 1_000;

/** Why a caller with a verified token has no access; undefined when it has. */
export type AccessError = (identity: Identity) => RpcError | undefined;

/** The open streams of all edges. Checks every second whether their callers still have access, and ends the others. */
export class OpenStreams {
  readonly #streams = new Map<CallContext, Identity>();
  readonly #accessError: AccessError;
  #timer: NodeJS.Timeout | undefined;

  constructor(accessError: AccessError) {
    this.#accessError = accessError;
  }

  /** Adds a stream; the returned function removes it. */
  add(call: CallContext, identity: Identity): () => void {
    this.#streams.set(call, identity);
    this.#timer ??= setInterval(() => this.#check(), CHECK_MS).unref();
    return () => {
      this.#streams.delete(call);
      if (this.#streams.size > 0) return;
      clearInterval(this.#timer);
      this.#timer = undefined;
    };
  }

  #check(): void {
    for (const [call, identity] of this.#streams) {
      const error = this.#accessError(identity);
      if (error !== undefined) call.end(error);
    }
  }
}
