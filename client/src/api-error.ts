import type { ErrorDetails } from './error-details.ts';

/** Code of an error, as Connect names it. */
export type Code =
  | 'canceled'
  | 'unknown'
  | 'invalid_argument'
  | 'deadline_exceeded'
  | 'not_found'
  | 'already_exists'
  | 'permission_denied'
  | 'resource_exhausted'
  | 'failed_precondition'
  | 'aborted'
  | 'out_of_range'
  | 'unimplemented'
  | 'internal'
  | 'unavailable'
  | 'data_loss'
  | 'unauthenticated';

/** Why a call failed. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly code: Code;
  readonly details: ErrorDetails;

  constructor(message: string, code: Code, details: ErrorDetails = {}, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.details = details;
  }

  /** Stable reason, a name of `ErrorReason` without its prefix; empty if the error is not of the service. */
  get reason(): string {
    return this.details.reason ?? '';
  }

  /** The error of a call, or `unknown` with another error as its cause. */
  static from(reason: unknown): ApiError {
    if (reason instanceof ApiError) return reason;
    return new ApiError(
      reason instanceof Error ? reason.message : `${reason}`,
      'unknown',
      {},
      { cause: reason },
    );
  }
}
