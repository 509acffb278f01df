import { ApiError } from './api-error.ts';
import type { CallOptions, Transport } from './transport.ts';

type Token = { readonly value: string; readonly replaceTime: number };

const MARGIN_MS = 30_000;

/**
 * Sends a token with every call. `fetchToken` is called for the first call, shortly before a token expires, and when the
 * server has rejected one; concurrent calls share its result. A unary call with a rejected token is repeated once; a
 * stream ends with the error, and `Subscription` resumes it with the next token.
 */
export function authorize(
  transport: Transport,
  fetchToken: () => Promise<string>,
  now: () => number = Date.now,
): Transport {
  const tokens = tokenSource(fetchToken, now);

  async function authorized(options: CallOptions | undefined, token: Promise<Token>): Promise<CallOptions> {
    return { ...options, headers: { ...options?.headers, authorization: `Bearer ${(await token).value}` } };
  }

  return {
    async unary(method, request, options) {
      const used = tokens.current();
      try {
        return await transport.unary(method, request, await authorized(options, used));
      } catch (error) {
        if (!isRejected(error)) throw error;
        tokens.forget(used);
        return transport.unary(method, request, await authorized(options, tokens.current()));
      }
    },
    async *stream(method, request, options) {
      const used = tokens.current();
      try {
        yield* transport.stream(method, request, await authorized(options, used));
      } catch (error) {
        if (isRejected(error)) tokens.forget(used);
        throw error;
      }
    },
  };
}

function tokenSource(fetchToken: () => Promise<string>, now: () => number) {
  let current: Promise<Token> | undefined;
  let replaceTime = Number.POSITIVE_INFINITY;

  function token(): Promise<Token> {
    if (current === undefined || now() >= replaceTime) {
      replaceTime = Number.POSITIVE_INFINITY;
      const fetching = fetchToken().then((value) => ({ value, replaceTime: now() + usableMs(value) }));
      current = fetching;
      fetching.then(
        (fetched) => {
          if (current === fetching) replaceTime = fetched.replaceTime;
        },
        () => forget(fetching),
      );
    }
    return current;
  }

  function forget(used: Promise<Token>): void {
    if (current === used) current = undefined;
  }

  return { current: token, forget };
}

function isRejected(error: unknown): boolean {
  return ApiError.from(error).code === 'unauthenticated';
}

/** From the lifetime of the token, because clocks of clients can be wrong. Unlimited for tokens that are not JWTs. */
function usableMs(token: string): number {
  try {
    const [, payload = ''] = token.split('.');
    const { iat, exp } = JSON.parse(atob(payload.replaceAll('-', '+').replaceAll('_', '/')));
    const lifetime = (exp - iat) * 1_000;
    return lifetime > 0 ? lifetime - Math.min(MARGIN_MS, lifetime / 5) : Number.POSITIVE_INFINITY;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
