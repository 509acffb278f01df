import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import tls, { type TLSSocket } from 'node:tls';
import type { Logger } from 'pino';
import type { TlsFiles } from '../settings/reader.ts';

type Options = {
  /** Protocols for ALPN, the preferred one first. */
  readonly protocols: readonly string[];
  readonly handshakeTimeoutMs: number;
  readonly reloadMs: number;
  readonly log: Logger;
};

type Context = { readonly cert: Buffer; readonly key: Buffer; readonly ca: Buffer | undefined };

/** Terminates TLS on accepted connections. Files that change are read again; open connections keep their certificate. */
export class TlsServer {
  readonly #files: TlsFiles;
  readonly #log: Logger;
  readonly #server: tls.Server;
  readonly #timer: NodeJS.Timeout;
  #context: Context;

  /** Throws when the files do not contain a certificate and its key. `secured` is called after each handshake. */
  constructor(
    files: TlsFiles,
    { protocols, handshakeTimeoutMs, reloadMs, log }: Options,
    secured: (socket: TLSSocket) => void,
  ) {
    this.#files = files;
    this.#log = log;
    this.#context = readContext(files);
    const isMutual = files.clientCa !== undefined;
    this.#server = tls.createServer({
      ...toOptions(this.#context),
      ALPNProtocols: [...protocols],
      handshakeTimeout: handshakeTimeoutMs,
      requestCert: isMutual,
      rejectUnauthorized: isMutual,
    });
    // Node itself does not end a connection whose handshake takes too long.
    this.#server.on('tlsClientError', (_error, socket) => socket.destroy());
    this.#server.on('secureConnection', (socket) => {
      // The HTTP servers handle errors of the socket; it can also fail before or after that.
      socket.on('error', () => {});
      secured(socket);
    });
    this.#timer = setInterval(() => this.#reload(), reloadMs).unref();
  }

  /** Begins the handshake, which ends with a call of `secured`, or with the end of the connection. */
  accept(socket: Socket): void {
    // Node documents this way to pass a connection to the server.
    this.#server.emit('connection', socket);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  // Not fs.watch: orchestrators replace a link to the folder that contains the files.
  #reload(): void {
    try {
      const context = readContext(this.#files);
      if (isSame(context, this.#context)) return;
      this.#server.setSecureContext(toOptions(context));
      this.#context = context;
      this.#log.info({ file: this.#files.cert }, 'TLS certificate reloaded');
    } catch (error) {
      // One of the files may have been replaced already; the next time both are.
      this.#log.warn({ err: error, file: this.#files.cert }, 'TLS certificate cannot be reloaded');
    }
  }
}

function readContext({ cert, key, clientCa }: TlsFiles): Context {
  return {
    cert: readFileSync(cert),
    key: readFileSync(key),
    ca: clientCa === undefined ? undefined : readFileSync(clientCa),
  };
}

function isSame(one: Context, other: Context): boolean {
  return (
    one.cert.equals(other.cert) && one.key.equals(other.key) && one.ca?.equals(other.ca ?? one.ca) !== false
  );
}

function toOptions({ cert, key, ca }: Context): tls.TlsOptions {
  return { cert, key, ...(ca !== undefined && { ca }), minVersion: 'TLSv1.2' };
}
