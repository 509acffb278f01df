import { readFileSync } from 'node:fs';
import type { Interceptor, Transport } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport, Http2SessionManager } from '@connectrpc/connect-node';
import { createTokenSigner } from '../../test/kit/tokens.ts';
import { DEV_FOLDER, envFile } from '../lib/dev-state.ts';
import { EXTRA_USERS, LAN, MINH } from '../lib/dev-users.ts';

export type Edge = 'gRPC' | 'Connect';

/** A user who calls the running service. */
export type DemoUser = {
  readonly userId: bigint;
  readonly name: string;
  /** Opens a dedicated connection, which can be cut. */
  connect(edge: Edge): Connection;
};

export type Connection = {
  readonly transport: Transport;
  /** Closes the connection abruptly, with all calls on it. */
  cut(): void;
};

/** The two users of the demo tenant and some more, with tokens that the service of this folder accepts. */
export async function createUsers(): Promise<DemoUser[]> {
  const env = readEnv();
  const signer = await createTokenSigner(DEV_FOLDER);
  return Promise.all(
    [LAN, MINH, ...EXTRA_USERS].map(async (user) => {
      const token = await signer.sign(user);
      return { ...user, connect: (edge: Edge) => connect(edge, env, token) };
    }),
  );
}

type Env = { readonly grpcUrl: string; readonly webUrl: string };

// Written when the service is ready and removed when it stops.
function readEnv(): Env {
  const values = new Map<string, string>();
  try {
    for (const line of readFileSync(envFile, 'utf8').split('\n')) {
      const [, name, value] = /^(\w+)='?([^']*)'?$/.exec(line) ?? [];
      if (name !== undefined && value !== undefined) values.set(name, value);
    }
  } catch {
    throw new Error('The service is not running in this folder. Start it with npm start.');
  }
  return {
    grpcUrl: `http://${values.get('DISCUSS_GRPC_ADDR')}`,
    webUrl: values.get('DISCUSS_WEB_URL') ?? '',
  };
}

function connect(edge: Edge, { grpcUrl, webUrl }: Env, token: string): Connection {
  const baseUrl = edge === 'gRPC' ? grpcUrl : webUrl;
  const authorize: Interceptor = (next) => (request) => {
    request.header.set('authorization', `Bearer ${token}`);
    return next(request);
  };
  const sessionManager = new Http2SessionManager(baseUrl);
  const options = { baseUrl, sessionManager, interceptors: [authorize] };
  return {
    transport:
      edge === 'gRPC'
        ? createGrpcTransport(options)
        : createConnectTransport({ ...options, httpVersion: '2' }),
    cut: () => sessionManager.abort(),
  };
}
