import { once } from 'node:events';
import type { Server } from 'node:http';

/** A listening server. */
export type Listening = { readonly address: string; close(): Promise<void> };

/** Listens on `host:port`. The returned address has the bound port, also where the given port is 0. */
export async function listen(server: Server, address: string): Promise<Listening> {
  const { host, port } = splitAddress(address);
  server.listen({ host, port });
  await once(server, 'listening');
  const bound = server.address();
  return {
    address: joinAddress(host, bound !== null && typeof bound === 'object' ? bound.port : port),
    close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      return closed;
    },
  };
}

/** Host and port of `host:port` or `[v6]:port`. */
export function splitAddress(address: string): { host: string; port: number } {
  const match = /^\[?(.+?)\]?:(\d{1,5})$/.exec(address);
  if (match?.[1] === undefined) throw new Error(`not an address of the form host:port: ${address}`);
  return { host: match[1], port: Number(match[2]) };
}

export function joinAddress(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
