import { Code, ConnectError, type Interceptor } from '@connectrpc/connect';

type Token = { readonly value: string; readonly replaceTime: number };

const MARGIN_MS = 30_000;

/**
 * Sends a token with every call. `fetchToken` is called for the first call, shortly before a token expires, and when the
 * server has rejected one; concurrent calls share its result. A unary call with a rejected token is repeated once; a
 * stream ends with the error, and `Subscription` resumes it with the next token.
 */
export function authorize(fetchToken: () => Promise<string>, now: () => number = Date.now): Interceptor {
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

  return (next) => async (request) => {
    const send = async (used: Promise<Token>) => {
      request.header.set('authorization', `Bearer ${(await used).value}`);
      return next(request);
    };
    const used = token();
    try {
      const response = await send(used);
      if (!response.stream) return response;
      return { ...response, message: watch(response.message, () => forget(used)) };
    } catch (error) {
      if (!isRejected(error)) throw error;
      forget(used);
      if (request.stream) throw error;
      return send(token());
    }
  };
}

async function* watch<T>(messages: AsyncIterable<T>, onRejected: () => void): AsyncGenerator<T> {
  try {
    yield* messages;
  } catch (error) {
    if (isRejected(error)) onRejected();
    throw error;
  }
}

function isRejected(error: unknown): boolean {
  return ConnectError.from(error).code === Code.Unauthenticated;
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
