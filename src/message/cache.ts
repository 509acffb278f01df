import type { CacheClient } from '../redis/cache-client.ts';
import { loadScript } from '../redis/script.ts';
import { lruCache } from '../rpc/lru.ts';
import type { MessageRow } from './sql.ts';

const TTL_SECONDS = 3_600;
const REMEMBERED_CHANNELS = 10_000;
// Of the messages of a channel in Redis, which holds text of users for as many channels as they read. 100 take 40 KB.
const MAX_BYTES = 256 * 1024;

const readNewest = loadScript(import.meta.dirname, 'read-newest');
const keepNewest = loadScript(import.meta.dirname, 'keep-newest');
const forgetNewest = loadScript(import.meta.dirname, 'forget-newest');

/** Messages of a channel that Redis holds, as the customer's document defines. */
export const CACHED_MESSAGES = 100;

/** Version of a channel's messages. Any change of a message, or a restore of the database, changes it. */
export type Version = { readonly headSeq: bigint; readonly version: string };

/** The newest messages of a channel in one version, oldest first. */
export type Newest = Version & {
  readonly messages: readonly MessageRow[];
  /** Whether the channel has messages before them. */
  readonly hasOlder: boolean;
};

/**
 * The newest messages of channels, each set with the version of the channel in which it was read. A set is used only
 * when PostgreSQL confirms, in the statement that checks the reader's membership, that this is still the version. So
 * lost, late or stale entries never change a response. Entries do not depend on the reader.
 */
export class MessageCache {
  readonly #client: CacheClient;
  readonly #enabled: boolean;
  /** Versions in which pages were last read from PostgreSQL. */
  readonly #read = lruCache<bigint, string>(REMEMBERED_CHANNELS);

  constructor(client: CacheClient, enabled: boolean) {
    this.#client = client;
    this.#enabled = enabled;
  }

  /** The cached newest messages, if they suffice for a page of `size`. */
  async find(channelId: bigint, size: number): Promise<Newest | undefined> {
    if (!this.#enabled) return undefined;
    const reply = await this.#client.read(readNewest, keysOf(channelId));
    if (reply?.has('head') !== true) return undefined;
    const [, headSeq, version, count, older] = headPattern.exec(reply.text('head')) ?? [];
    if (headSeq === undefined || version === undefined) return undefined;
    const hasOlder = older === '1';
    if (hasOlder && Number(count) < size) return undefined;
    const messages = toRows(channelId, reply.text('messages'));
    if (messages?.length !== Number(count)) return undefined;
    return { headSeq: BigInt(headSeq), version, messages, hasOlder };
  }

  /**
   * Whether a page that was read should be stored: it is read for the second time without a change in between, and is not
   * too large. In channels with more messages than reads, storing every page would cost a third of each read and never
   * save one.
   */
  isWorthKeeping(channelId: bigint, { version, messages }: Newest): boolean {
    if (!this.#enabled || messages.length === 0) return false;
    const isRepeated = this.#read.get(channelId) === version;
    this.#read.set(channelId, version);
    return isRepeated && toMembers(messages).length === messages.length;
  }

  /**
   * Stores messages that were read together with the version, in the background: the newest that fit into the maximum
   * size.
   */
  keep(channelId: bigint, { headSeq, version, messages, hasOlder }: Newest): void {
    if (!this.#enabled) return;
    const members = toMembers(messages);
    if (members.length === 0) return;
    const isCut = hasOlder || members.length < messages.length;
    const head = `${headSeq} ${version} ${members.length} ${isCut ? 1 : 0}`;
    this.#client.write(keepNewest, keysOf(channelId), TTL_SECONDS, `${headSeq}`, head, ...members.flat());
  }

  /** Evicts the page of a channel after an edit or deletion, so that Redis does not keep the old content. */
  forget(channelId: bigint, seq: bigint | undefined): void {
    if (this.#enabled && seq !== undefined)
      this.#client.write(forgetNewest, keysOf(channelId), TTL_SECONDS, `${seq}`);
  }
}

/** Scores and JSON of the newest messages that fit into the maximum size, newest first. */
function toMembers(messages: readonly MessageRow[]): [score: string, json: string][] {
  const members: [string, string][] = [];
  let bytes = 0;
  for (const row of messages.toReversed()) {
    const json = JSON.stringify(toEntity(row));
    bytes += Buffer.byteLength(json);
    if (bytes > MAX_BYTES) break;
    members.push([`${row.createdAt}`, json]);
  }
  return members;
}

const headPattern = /^(\d+) (\S+) (\d+) ([01])$/;

function toRows(channelId: bigint, json: string): MessageRow[] | undefined {
  try {
    const entities: Entity[] = JSON.parse(json);
    return entities.map((entity) => toRow(channelId, entity)).sort((a, b) => (a.id < b.id ? -1 : 1));
  } catch {
    // Another program wrote to the key.
    return undefined;
  }
}

// The customer's document defines the first. The hash tag puts the second on the same cluster node.
function keysOf(channelId: bigint): [messages: string, head: string] {
  const key = `channel:${channelId}:messages`;
  return [key, `{${key}}:head`];
}

/** A JSON number, or a decimal string where a number would not be exact. */
type Exact = number | string;

/** A message as JSON: its columns without default values. */
type Entity = {
  readonly id: Exact;
  readonly senderId: Exact;
  readonly messageType: string;
  readonly content: string;
  readonly postSeq: Exact;
  readonly createdAt: Exact;
  readonly mentions?: readonly Exact[] | undefined;
  readonly mentionScope?: string | undefined;
  readonly parentId?: Exact | undefined;
  readonly alsoInChannel?: boolean | undefined;
  readonly threadCount?: number | undefined;
  readonly threadUserCount?: number | undefined;
  readonly threadUsers?: readonly Exact[] | undefined;
  readonly lastReplyAt?: Exact | undefined;
  readonly editedAt?: Exact | undefined;
  readonly deletedAt?: Exact | undefined;
  readonly deletedBy?: Exact | undefined;
  readonly isDeleted?: boolean | undefined;
  readonly metadata?: string | undefined;
  readonly notice?: string | undefined;
  /** Base64. */
  readonly encryptedContent?: string | undefined;
  readonly reactions?: string | undefined;
  readonly votes?: string | undefined;
  readonly attachments?: string | undefined;
  readonly pinnedAt?: Exact | undefined;
  readonly pinnedBy?: Exact | undefined;
};

function toEntity(row: MessageRow): Entity {
  return {
    id: toExact(row.id),
    senderId: toExact(row.senderId),
    messageType: row.messageType,
    content: row.content,
    postSeq: toExact(row.postSeq),
    createdAt: toExact(row.createdAt),
    mentions: row.mentions.length === 0 ? undefined : row.mentions.map(toExact),
    mentionScope: row.mentionScope ?? undefined,
    parentId: toOptional(row.parentId),
    alsoInChannel: row.alsoInChannel || undefined,
    threadCount: row.threadCount || undefined,
    threadUserCount: row.threadUserCount || undefined,
    threadUsers: row.threadUsers.length === 0 ? undefined : row.threadUsers.map(toExact),
    lastReplyAt: toOptional(row.lastReplyAt),
    editedAt: toOptional(row.editedAt),
    deletedAt: toOptional(row.deletedAt),
    deletedBy: toOptional(row.deletedBy),
    isDeleted: row.isDeleted || undefined,
    metadata: row.metadata ?? undefined,
    notice: row.notice ?? undefined,
    encryptedContent: row.encryptedContent?.toString('base64'),
    reactions: row.reactions === '[]' ? undefined : row.reactions,
    votes: row.votes ?? undefined,
    attachments: row.attachments ?? undefined,
    pinnedAt: toOptional(row.pinnedAt),
    pinnedBy: toOptional(row.pinnedBy),
  };
}

function toRow(channelId: bigint, entity: Entity): MessageRow {
  return {
    id: BigInt(entity.id),
    channelId,
    senderId: BigInt(entity.senderId),
    messageType: entity.messageType,
    content: entity.content,
    postSeq: BigInt(entity.postSeq),
    createdAt: BigInt(entity.createdAt),
    mentions: entity.mentions?.map(BigInt) ?? [],
    mentionScope: entity.mentionScope ?? null,
    parentId: toBigint(entity.parentId),
    alsoInChannel: entity.alsoInChannel ?? false,
    threadCount: entity.threadCount ?? 0,
    threadUserCount: entity.threadUserCount ?? 0,
    threadUsers: entity.threadUsers?.map(BigInt) ?? [],
    lastReplyAt: toBigint(entity.lastReplyAt),
    editedAt: toBigint(entity.editedAt),
    deletedAt: toBigint(entity.deletedAt),
    deletedBy: toBigint(entity.deletedBy),
    isDeleted: entity.isDeleted ?? false,
    metadata: entity.metadata ?? null,
    notice: entity.notice ?? null,
    encryptedContent:
      entity.encryptedContent === undefined ? null : Buffer.from(entity.encryptedContent, 'base64'),
    reactions: entity.reactions ?? '[]',
    votes: entity.votes ?? null,
    attachments: entity.attachments ?? null,
    pinnedAt: toBigint(entity.pinnedAt),
    pinnedBy: toBigint(entity.pinnedBy),
  };
}

function toExact(value: bigint): Exact {
  return value <= Number.MAX_SAFE_INTEGER ? Number(value) : `${value}`;
}

function toOptional(value: bigint | null): Exact | undefined {
  return value === null ? undefined : toExact(value);
}

function toBigint(value: Exact | undefined): bigint | null {
  return value === undefined ? null : BigInt(value);
}
