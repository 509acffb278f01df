import type { Identity } from './claims.ts';
import type { RpcError } from './errors.ts';
import { everyInTurns } from './in-turns.ts';

const CHECK_MS = 1_000;

/** Why a caller with a verified token has no access; undefined when it has. */
export type AccessError = (identity: Identity) => RpcError | undefined;

/** A stream that can be ended before its client ends it. */
export type OpenStream = { end(reason: RpcError): void };

/** The open streams of all edges. Checks every second whether their callers still have access, and ends the others. */
export class OpenStreams {
  readonly #streams = new Map<OpenStream, Identity>();
  readonly #accessError: AccessError;
  #timer: NodeJS.Timeout | undefined;

  constructor(accessError: AccessError) {
    this.#accessError = accessError;
  }

  /** Adds a stream; the returned function removes it. */
  add(stream: OpenStream, identity: Identity): () => void {
    this.#streams.set(stream, identity);
    this.#timer ??= everyInTurns(
      CHECK_MS,
      () => this.#streams,
      ([open, caller]) => this.#check(open, caller),
    ).unref();
    return () => {
      this.#streams.delete(stream);
      if (this.#streams.size > 0) return;
      clearInterval(this.#timer);
      this.#timer = undefined;
    };
  }

  #check(stream: OpenStream, identity: Identity): void {
    const error = this.#accessError(identity);
    if (error !== undefined) stream.end(error);
  }
}
