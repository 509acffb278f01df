import { mkdirSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { findProgram, type Program, unpackProgram, type Wanted } from './debian-program.ts';
import { isDockerAvailable, prepareContainer, RUN_LABEL } from './docker.ts';
import { freePort, hasEnded, launch, stop, tailOf, waitUntil } from './processes.ts';

const START_MS = 10_000;
const STOP_MS = 10_000;
const PROGRAM: Wanted = {
  alternatives: ['redis-server', 'valkey-server'].map((name) => ({ name, package: name })),
  probe: '--version',
  folder: 'redis-server',
  missing:
    'No Redis: there is no redis-server or valkey-server on PATH, no Docker engine responds, and the package of the ' +
    'distribution could not be unpacked. Install one of them, or set REDIS_URL (npm start) or TEST_REDIS_URL (npm test).',
};
const IMAGE = 'redis:7-alpine';
// The slots of a dead node are unavailable; the other nodes keep serving theirs.
const CLUSTER_ARGUMENTS = [
  '--cluster-enabled',
  'yes',
  '--cluster-node-timeout',
  '1000',
  '--cluster-require-full-coverage',
  'no',
  '--cluster-allow-pubsubshard-when-down',
  'yes',
];

export interface RedisOptions {
  readonly dataDir?: string;
  readonly port?: number;
  /** True keeps an append-only file in `dataDir`. */
  readonly durable: boolean;
  /** True for a node of a Redis Cluster, which never runs in a container because nodes announce their addresses. */
  readonly cluster?: boolean;
  readonly log?: (line: string) => void;
}

export interface Redis {
  readonly url: string;
  readonly port: number;
  /** Resolves with the last lines of the log when the server has ended for any reason. */
  readonly ended: Promise<string>;
  stop(): Promise<void>;
  /** Ends the server without closing its connections. */
  kill(): Promise<void>;
}

/**
 * Runs Redis on the loopback interface: the server on PATH; else a container where a Docker engine answers;
 * else the distribution's package, unpacked into `.dev/`.
 */
export async function startRedis(options: RedisOptions): Promise<Redis> {
  const port = options.port ?? (await freePort());
  const program = findProgram(PROGRAM);
  if (program !== undefined) return runProgram(program, port, options);
  if (options.cluster !== true && (await isDockerAvailable())) {
    try {
      await prepareContainer(IMAGE, (line) => options.log?.(line));
      return await runContainer(port, options);
    } catch (error) {
      // An engine that cannot fetch the image is treated as absent.
      options.log?.(`no Redis from the Docker engine: ${error instanceof Error ? error.message : error}`);
    }
  }
  return runProgram(await unpackProgram(PROGRAM, options.log), port, options);
}

/** Performs the work that the first `startRedis` on a machine requires. */
export async function prepareRedis(log: (line: string) => void): Promise<void> {
  const redis = await startRedis({ durable: false, log });
  await redis.stop();
}

async function runProgram(program: Program, port: number, options: RedisOptions): Promise<Redis> {
  const child = launch({
    command: [program.file, ...serverArguments(port, '127.0.0.1', options, options.dataDir ?? tmpdir())],
    orphanSignal: 'SIGTERM',
    env: { ...process.env, LD_LIBRARY_PATH: program.libraries },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const tail = tailOf(child);
  const ended = new Promise<string>((done) => child.once('exit', () => done(tail())));
  try {
    await waitUntil('Redis responds', START_MS, async () => {
      if (hasEnded(child)) throw new Error(`Redis did not start:\n${tail()}`);
      return (await responds(port)) ? true : undefined;
    });
  } catch (error) {
    await stop(child, 'SIGKILL', STOP_MS);
    throw error;
  }
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    ended,
    stop: () => stop(child, 'SIGTERM', STOP_MS),
    kill: () => stop(child, 'SIGKILL', STOP_MS),
  };
}

async function runContainer(port: number, options: RedisOptions): Promise<Redis> {
  const { GenericContainer } = await import('testcontainers');
  const definition = new GenericContainer(IMAGE)
    .withExposedPorts({ container: 6379, host: port })
    .withLabels({ [RUN_LABEL]: process.env['TEST_RUN'] ?? '' })
    .withCommand(['redis-server', ...serverArguments(6379, '0.0.0.0', options, '/data')]);
  if (options.dataDir !== undefined) {
    mkdirSync(options.dataDir, { recursive: true });
    definition.withBindMounts([{ source: options.dataDir, target: '/data' }]);
  }
  const container = await definition.start();
  const ended = Promise.withResolvers<string>();
  const end = async (timeout: number) => {
    await container.stop({ timeout });
    ended.resolve('');
  };
  return {
    url: `redis://${container.getHost()}:${port}`,
    port,
    ended: ended.promise,
    stop: () => end(STOP_MS),
    kill: () => end(0),
  };
}

function serverArguments(port: number, bind: string, options: RedisOptions, folder: string): string[] {
  if (options.dataDir !== undefined) mkdirSync(options.dataDir, { recursive: true });
  const listen = [
    '--port',
    `${port}`,
    '--bind',
    bind,
    '--protected-mode',
    bind === '127.0.0.1' ? 'yes' : 'no',
  ];
  const persistence = ['--save', '', '--appendonly', options.durable ? 'yes' : 'no', '--dir', folder];
  return [
    ...listen,
    ...persistence,
    ...(options.cluster === true ? CLUSTER_ARGUMENTS : []),
    '--daemonize',
    'no',
    '--loglevel',
    'warning',
  ];
}

function responds(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('PING\r\n'));
    const settle = (isReady: boolean) => {
      socket.destroy();
      done(isReady);
    };
    // The reply is -LOADING while Redis loads its file.
    socket.once('data', (data) => settle(data.toString().startsWith('+PONG')));
    socket.once('error', () => settle(false)).once('close', () => settle(false));
    socket.setTimeout(1_000, () => settle(false));
  });
}
