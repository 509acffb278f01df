import type { Config } from '../config.ts';

// The ids of the largest request of the contract, 1,001, have at most 25 KB.
const MAX_RESPONSE_BYTES = 65_536;

/** Sends one request to the directory. Returns those of the users that it knows. */
export async function findUsers(
  url: string,
  { token }: Config['directory'],
  tenantId: bigint,
  userIds: readonly bigint[],
  signal: AbortSignal,
): Promise<bigint[]> {
  const response = await fetch(url, {
    method: 'POST',
    // A redirect could send the token to another host.
    redirect: 'error',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify({ tenantId: `${tenantId}`, userIds: userIds.map(String) }),
    signal,
  });
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new Error(`the directory responded with status ${response.status}`);
  }
  return toUserIds(JSON.parse(await readText(response)));
}

async function readText({ body }: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body ?? []) {
    bytes += chunk.length;
    if (bytes > MAX_RESPONSE_BYTES)
      throw new Error(`the directory sent more than ${MAX_RESPONSE_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function toUserIds(response: unknown): bigint[] {
  const ids: unknown =
    typeof response === 'object' && response !== null ? Reflect.get(response, 'userIds') : undefined;
  if (!Array.isArray(ids)) throw new Error('the response of the directory has no list userIds');
  return ids.map((id: unknown) => {
    if (typeof id !== 'string' || !/^\d{1,19}$/.test(id)) throw new Error('userIds must be decimal strings');
    return BigInt(id);
  });
}
