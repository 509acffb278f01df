import { authorize } from '../../client/src/authorize.ts';
import { fetchTransport } from '../../client/src/fetch-transport.ts';
import type { Transport } from '../../client/src/transport.ts';
import type { App, As } from './app.ts';

/** The client package's transport to the web edge of an instance, signed in. */
export function jsonTransport(the: App, as: As, instance = 0): Transport {
  const baseUrl = `http://${the.instances[instance]?.webAddress}`;
  return authorize(fetchTransport({ baseUrl }), () => the.tokens.sign(as));
}
