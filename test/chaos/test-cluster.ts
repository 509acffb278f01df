import { randomUUID } from 'node:crypto';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { FaultProxy } from '../kit/fault-proxy.ts';
import { createRandom } from '../kit/random.ts';
import { createTokenSigner, type TokenClaims, type TokenSigner } from '../kit/tokens.ts';
import { until } from '../kit/until.ts';
import { JOB_TENANT } from './check-jobs.ts';
import { environment } from './environment.ts';
import { FileServers } from './file-servers.ts';
import { Instance } from './instance.ts';
import { JOB_SETTINGS, JobLoad } from './job-load.ts';
import { Ledger } from './ledger.ts';
import { ReconnectingSubscriber } from './reconnecting-subscriber.ts';
import { InstanceWriter, Sender, SharedMessages } from './sender.ts';
import { Stores } from './stores.ts';
import { StreamSender } from './stream-sender.ts';
import { TENANT, TestUser } from './test-user.ts';
import { Uploader } from './uploader.ts';

/** Number of channels and users, and their load. */
export type Size = {
  readonly channels: number;
  readonly senders: number;
  readonly subscribers: number;
  /** Writes and reads of all senders per second. */
  readonly perSecond: number;
};

/** Settings of the instances besides addresses: the defaults, with short times to detect a dead peer. */
export const SETTINGS = {
  LIMIT_SEND_PER_MINUTE: '0',
  LIMIT_READ_PER_MINUTE: '0',
  LIMIT_SEARCH_PER_MINUTE: '30',
  LIMIT_STREAM_OPENS_PER_MINUTE: '0',
  LIMIT_TENANT_PER_MINUTE: '0',
  LIMIT_CANCELLED_PER_MINUTE: '0',
  LIMIT_UNREAD_REQUESTS_PER_USER: '0',
  EVENT_HEARTBEAT_MS: '1000',
  GRPC_KEEPALIVE_MS: '1000',
  GRPC_KEEPALIVE_TIMEOUT_MS: '3000',
  DRAIN_DELAY_MS: '0',
  DRAIN_TIMEOUT_MS: '2000',
  DATABASE_CONNECTIONS: '6',
  CALL_QUEUE_SIZE: '50',
  DATABASE_QUEUE_SIZE: '50',
  DATABASE_CONNECT_TIMEOUT_MS: '2000',
  EVENT_STREAM_BUFFER_BYTES: '262144',
  S3_TIMEOUT_MS: '1000',
  SCAN_INTERVAL_MS: '300',
  SCAN_TIMEOUT_MS: '3000',
  // Several `started` messages for each stream.
  EVENT_STARTED_CHANNELS: '2',
};

export const STREAM_BUFFER_BYTES = Number(SETTINGS.EVENT_STREAM_BUFFER_BYTES);

const RETURN_MS = 10_000;
const START_MS = 30_000;

/** Two instances with their stores and the users who call them. */
export class TestCluster implements AsyncDisposable {
  readonly stores: Stores;
  /** Proxies between the instances and their stores. */
  readonly redis: FaultProxy;
  readonly postgres: FaultProxy;
  readonly fileServers: FileServers;
  readonly instances: readonly [Instance, Instance];
  readonly random: ReturnType<typeof createRandom>;
  readonly ledger = new Ledger();
  readonly tokens: TokenSigner;
  readonly senders: Sender[] = [];
  readonly subscribers: ReconnectingSubscriber[] = [];
  readonly uploaders: Uploader[] = [];
  /** All users are members of the first channel. */
  readonly channelIds: bigint[] = [];
  jobs: JobLoad | undefined;
  readonly #writers: InstanceWriter[] = [];
  readonly #streamSenders: StreamSender[] = [];
  readonly #users: TestUser[] = [];
  #lastUserId = 0n;
  #sending: Promise<unknown> = Promise.resolve();
  #stopSending = new AbortController();
  readonly #stopListening = new AbortController();
  readonly #owned: AsyncDisposableStack;

  private constructor(parts: {
    stores: Stores;
    redis: FaultProxy;
    postgres: FaultProxy;
    fileServers: FileServers;
    instances: readonly [Instance, Instance];
    tokens: TokenSigner;
    seed: number;
    owned: AsyncDisposableStack;
  }) {
    this.stores = parts.stores;
    this.redis = parts.redis;
    this.postgres = parts.postgres;
    this.fileServers = parts.fileServers;
    this.instances = parts.instances;
    this.tokens = parts.tokens;
    this.random = createRandom(parts.seed);
    this.#owned = parts.owned;
  }

  static async open(
    size: Size,
    seed: number,
    settings: Readonly<Record<string, string>> = {},
  ): Promise<TestCluster> {
    await using owned = new AsyncDisposableStack();
    const stores = owned.use(await Stores.open());
    const redis = owned.adopt(await FaultProxy.open(stores.redisPort, true), (proxy) => proxy.close());
    const postgres = owned.adopt(await FaultProxy.open(stores.postgresPort, false), (proxy) => proxy.close());
    const fileServers = owned.use(await FileServers.open());
    const tokens = await createTokenSigner();
    const servers = { ...fileServers.env, ...environment(stores, redis, postgres, tokens) };
    const env = { ...SETTINGS, ...JOB_SETTINGS, ...settings, ...servers };
    const start = async (name: string) =>
      owned.adopt(await Instance.start(name, env), (instance) => instance.close());
    const instances = await Promise.all([start('một'), start('hai')]);
    const cluster = new TestCluster({
      stores,
      redis,
      postgres,
      fileServers,
      instances,
      tokens,
      seed,
      owned: owned.move(),
    });
    await cluster.#populate(size);
    return cluster;
  }

  /** Creates a user who prefers an instance. */
  async createUser(edge: TestUser['edge'], home: number): Promise<TestUser> {
    this.#lastUserId += 1n;
    return this.#connect({ userId: this.#lastUserId, tenantId: TENANT }, edge, home);
  }

  async #connect(claims: TokenClaims, edge: TestUser['edge'], home: number): Promise<TestUser> {
    const token = await this.tokens.sign({ ...claims, expiresIn: 7_200 });
    const { userId } = claims;
    const user = new TestUser({ userId, edge, home, token, instances: this.instances, ledger: this.ledger });
    this.#users.push(user);
    return user;
  }

  /** Returns all users to the instances that they used before a fault. */
  async returnHome(): Promise<void> {
    for (const { user } of this.senders) user.returnHome();
    for (const sender of this.#streamSenders) sender.returnHome();
    for (const subscriber of this.subscribers) subscriber.returnHome();
    await this.untilCaughtUp(RETURN_MS);
  }

  /** Waits until every subscriber has received the events that the log holds now. */
  async untilCaughtUp(deadlineMs: number): Promise<ReadonlyMap<bigint, bigint>> {
    const heads = await this.heads();
    await until(
      () => this.subscribers.every((subscriber) => subscriber.isAt(heads)),
      'catching up',
      deadlineMs,
    ).catch(() => {});
    return heads;
  }

  /** `seq` of the last event of each channel. */
  async heads(): Promise<ReadonlyMap<bigint, bigint>> {
    const rows = await this.stores.owner<
      { id: bigint; eventSeq: bigint }[]
    >`select id, event_seq from channels`;
    return new Map(rows.map(({ id, eventSeq }) => [id, eventSeq]));
  }

  startSending(): void {
    this.#stopSending = new AbortController();
    const { signal } = this.#stopSending;
    this.#sending = Promise.all(
      [
        ...this.senders,
        ...this.#writers,
        ...this.#streamSenders,
        ...this.uploaders,
        ...(this.jobs === undefined ? [] : [this.jobs]),
      ].map((one) => one.run(signal)),
    );
    // `stopSending` reports a failure; until then it is not an unhandled rejection.
    this.#sending.catch(() => {});
  }

  /** Runs retention, exports, rotations and erasures from now on, also after the senders were stopped and started again. */
  async startJobs(): Promise<void> {
    this.jobs = await this.#createJobs();
    this.#sending = Promise.all([this.#sending, this.jobs.run(this.#stopSending.signal)]);
    this.#sending.catch(() => {});
  }

  /** Lets the senders finish their current calls. */
  async stopSending(): Promise<void> {
    this.#stopSending.abort();
    await this.#sending;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopListening.abort();
    this.#stopSending.abort();
    for (const user of this.#users) user[Symbol.dispose]();
    await this.#owned.disposeAsync();
  }

  async #populate({ channels, senders, subscribers, perSecond }: Size): Promise<void> {
    const users = await Promise.all(
      Array.from({ length: senders + subscribers }, (_, index) =>
        this.createUser(index % 2 === 0 ? 'grpc' : 'web', (index >> 1) % 2),
      ),
    );
    await this.#createChannels(channels, users, senders);
    const shared = new SharedMessages();
    const everyMs = (1_000 * senders) / perSecond;
    for (const user of users.slice(0, senders)) {
      const parts = {
        user,
        channelIds: this.channelIds.slice(0, channels),
        shared,
        random: this.random,
        everyMs,
      };
      this.senders.push(new Sender(parts));
    }
    for (const instance of [0, 1]) {
      const [sender, channelId] = [this.senders[instance], this.channelIds[channels + instance]];
      if (sender === undefined || channelId === undefined)
        throw new RangeError('too few senders or channels');
      this.#writers.push(new InstanceWriter(sender, channelId, instance));
    }
    for (const { user } of this.senders.slice(0, 2))
      this.uploaders.push(new Uploader(user, this.channelIds[0] ?? 0n));
    for (const { user } of this.senders.filter(({ user }) => user.edge === 'grpc'))
      this.#streamSenders.push(new StreamSender(user, this.channelIds.slice(0, channels), this.random));
    for (const user of users.slice(senders)) this.subscribers.push(new ReconnectingSubscriber(user));
    for (const subscriber of this.subscribers) void subscriber.run(this.#stopListening.signal);
    await until(() => this.subscribers.every(({ started }) => started), 'all streams', START_MS);
    this.startSending();
  }

  async #createJobs(): Promise<JobLoad> {
    const operator = { userId: 7n, tenantId: 0n, roles: ['discuss.admin'] };
    return new JobLoad({
      owner: this.stores.owner,
      operator: await this.#connect(operator, 'grpc', 0),
      writer: await this.#connect({ userId: 1n, tenantId: JOB_TENANT }, 'grpc', 1),
      createUser: (userId) => this.#connect({ userId, tenantId: JOB_TENANT }, 'web', 0),
    });
  }

  /** One channel with all users, then channels with all senders and half the subscribers, and two for the writers. */
  async #createChannels(count: number, users: readonly TestUser[], senders: number): Promise<void> {
    const [first, ...others] = users;
    if (first === undefined) throw new RangeError('there are no users');
    for (let index = 0; index < count + 2; index += 1) {
      const isForAll = index === 0 || index >= count;
      const memberUserIds = others
        .filter((_, at) => isForAll || at + 1 < senders || at % 2 === index % 2)
        .map(({ userId }) => userId);
      const { channel } = await first
        .client(ChannelService, 0)
        .createChannel({ name: `Bão ${index}`, memberUserIds, requestId: randomUUID() });
      this.channelIds.push(channel?.id ?? 0n);
    }
  }
}
