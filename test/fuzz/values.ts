import type { DescEnum, DescField } from '@bufbuild/protobuf';
import type { createRandom } from '../kit/random.ts';
import { PNG } from '../kit/uploads.ts';

export type Random = ReturnType<typeof createRandom>;

/** Ids, tokens and names that exist, so that calls get past validation. */
export type Corpus = {
  readonly tenantIds: readonly bigint[];
  readonly userIds: readonly bigint[];
  readonly channels: readonly CorpusChannel[];
  readonly activityIds: readonly bigint[];
  readonly entityIds: readonly bigint[];
  /** Page tokens, snapshot tokens and cursors of all methods and several callers. */
  readonly tokens: readonly string[];
};

/** A channel with its messages. */
export type CorpusChannel = {
  readonly channelId: bigint;
  /** First the root message of a thread. */
  readonly messageIds: readonly bigint[];
  readonly pollIds: readonly bigint[];
  readonly attachmentIds: readonly bigint[];
};

/** Values for the fields of one request: plausible ones, and odd ones with a probability. */
export type Values = {
  readonly random: Random;
  /** Whether to do something odd at this point. */
  odd(): boolean;
  chance(percent: number): boolean;
  /** Whether to set a field: of an optional one, in as many requests as not. */
  sets(field: DescField): boolean;
  int64(field: string): bigint;
  int32(field: string): number;
  double(): number;
  bytes(): Uint8Array;
  enumNumber(desc: DescEnum): number;
  /** `index`: position in a list. */
  text(field: string, index: number): string;
  /** Number of items of a list. */
  length(field: string): number;
};

const INT64S = [
  0n,
  -1n,
  1_000_000n,
  2n ** 31n,
  2n ** 53n - 1n,
  2n ** 53n + 1n,
  253_402_300_799n,
  253_402_300_800n,
  -62_135_596_800n,
  -62_135_596_801n,
  315_576_000_001n,
  2n ** 63n - 1n,
  -(2n ** 63n),
];
const INT32S = [-1, 51, 101, 1_000_000_000, 2 ** 31 - 1, -(2 ** 31)];
const DOUBLES = [Number.NaN, Number.POSITIVE_INFINITY, -0, 1e308, 5e-324, 2 ** 63, 0.1];
const TEXTS = [
  '',
  ' ',
  '\0',
  'a\0b',
  '\u2028\u202e\ufeff',
  '\uffff',
  "' or 1=1; --",
  '%_\\%',
  ':*&|!()<->',
  '"unterminated',
  '\\u0000',
  '{}',
  'null',
  '__proto__',
  'constructor',
  '*',
  'a.b.c',
  '9223372036854775808',
  '👨‍👩‍👧‍👦'.repeat(30),
  'e\u0301'.repeat(2_000),
  'ả'.repeat(256),
  'x'.repeat(10_001),
  'x'.repeat(70_000),
  'a b '.repeat(50),
];
/** Half of a surrogate pair, which only JSON can carry: in UTF-8 it becomes U+FFFD. */
export const LONE_SURROGATE = 'a\ud800';

// Names of fields without which most requests are invalid.
const ESSENTIAL =
  /^(?!attachment_ids)(.*_)?(ids?|entity|content|name|query|emoji|device|channels|items|options|paths|mask|type|seconds|size|sha256|activities)$/;
// Enums whose default is invalid.
const ESSENTIAL_ENUM = /^(role|notification_level)$/;
// Lists of one item: others must be unique, or as many as another field requires.
const SINGLE = /^(option_ids|part_sha256)$/;
// Of all lists and odd texts of a request, which would otherwise multiply.
const MAX_ITEMS = 6_000;
const MAX_ODD_CHARACTERS = 2_000_000;

const UUIDS = ['7f1c7a6e-0000-4000-8000-000000000001', '7f1c7a6e-0000-4000-8000-000000000002'];
const PLAUSIBLE: Readonly<Record<string, readonly string[]>> = {
  name: ['Kho A', 'Kho B'],
  query: ['xin', 'kho', 'chào', '"xin chào"', '-kho'],
  content: ['xin chào', 'kho hàng'],
  description: ['mô tả'],
  emoji: ['👍', '🎉'],
  entity_type: ['order'],
  type: ['order', 'order', 'task'],
  types: ['MENTION', 'REPLY'],
  text: ['họp'],
  id: ['d1', 'd2'],
  kind: ['web', 'mobile'],
  token_id: ['no-such-token'],
  collapse_key: ['', 'a'],
  etag: [''],
  file_name: ['hàng.png'],
  content_type: ['', 'image/png'],
  activity_type: ['TASK_ASSIGNED', 'APPROVAL'],
  request_id: ['', ...UUIDS],
  key: ['a', 'language'],
};
const TOKEN_FIELDS = ['page_token', 'snapshot_token', 'cursor'];

/** `paths` are the fields that an update mask may name. */
export function createValues(
  random: Random,
  corpus: Corpus,
  paths: readonly string[],
  oddPercent: number,
): Values {
  const chance = (percent: number) => random.below(100) < percent;
  const odd = () => chance(oddPercent);
  // Most requests name one channel and its messages: others are rejected before anything is read.
  const channel = random.pick(corpus.channels);
  const pickChannel = () => (chance(90) ? channel : random.pick(corpus.channels));
  const fillPercent = random.pick([5, 30, 85]);
  let itemsLeft = MAX_ITEMS;
  let charactersLeft = MAX_ODD_CHARACTERS;
  const oddText = () => {
    const text = random.pick(TEXTS);
    charactersLeft -= text.length;
    return charactersLeft > 0 ? text : '';
  };
  return {
    random,
    odd,
    chance,
    sets: (field) => chance(isEssential(field) ? 95 : fillPercent),
    int64: (field) =>
      odd() ? random.pick(INT64S) : (plausibleId(random, corpus, pickChannel(), field) ?? 1n),
    int32: (field) => (odd() ? random.pick(INT32S) : plausibleInt32(random, field)),
    double: () => (odd() ? random.pick(DOUBLES) : random.below(1_000)),
    bytes: () => Buffer.alloc(odd() ? random.pick([0, 31, 33, 5_000]) : 32, random.below(256)),
    enumNumber: (desc) => (odd() ? random.pick([0, -1, 99, 2 ** 31 - 1]) : random.pick(desc.values).number),
    text(field, index) {
      if (odd()) return TOKEN_FIELDS.includes(field) ? forgeToken(random, corpus) : oddText();
      if (field === 'paths') return random.pick(paths);
      if (field === 'options') return `Lựa chọn ${index}`;
      if (field === 'request_id' && chance(80)) return randomId(random);
      if (TOKEN_FIELDS.includes(field)) return chance(70) ? '' : random.pick(corpus.tokens);
      return random.pick(PLAUSIBLE[field] ?? ['x']);
    },
    length(field) {
      const wanted = odd()
        ? random.pick([0, 21, 101, 1_001, 5_001])
        : random.below(SINGLE.test(field) ? 1 : 2) + (field === 'options' ? 2 : 1);
      const length = Math.min(wanted, itemsLeft);
      itemsLeft -= length;
      return length;
    },
  };
}

/** The field's name; another one where fields of the same name need different values. */
export function valueName({ name, parent }: DescField): string {
  return parent.name === 'NewActivity' && name === 'type' ? 'activity_type' : name;
}

function isEssential({ name, enum: desc }: DescField): boolean {
  return desc === undefined ? ESSENTIAL.test(name) : ESSENTIAL_ENUM.test(name);
}

function plausibleInt32(random: Random, field: string): number {
  if (field === 'nanos') return 0;
  return field === 'option_ids' ? random.below(2) + 1 : random.below(3);
}

function plausibleId(
  random: Random,
  corpus: Corpus,
  { channelId, messageIds, attachmentIds }: CorpusChannel,
  field: string,
): bigint | undefined {
  if (field === 'seconds') return BigInt(Math.floor(Date.now() / 1_000) + random.below(100_000) - 10_000);
  if (field === 'seq') return BigInt(random.below(20));
  if (field.includes('tenant')) return random.pick(corpus.tenantIds);
  if (field.includes('channel')) return channelId;
  if (/user|sender|actor/.test(field)) return random.pick(corpus.userIds);
  if (field === 'root_message_id') return messageIds[0];
  if (/message|parent|after/.test(field)) return random.pick(messageIds);
  if (field.includes('attachment')) return random.pick(attachmentIds);
  if (field === 'size') return BigInt(PNG.length);
  if (field.includes('activity')) return random.pick(corpus.activityIds);
  if (field === 'id') return random.pick(corpus.entityIds);
  return undefined;
}

function randomId(random: Random): string {
  const digits = Array.from({ length: 12 }, () => random.below(16).toString(16)).join('');
  return `7f1c7a6e-0000-4000-8000-${digits}`;
}

/** A token that the service did not issue, or not like this. */
function forgeToken(random: Random, { tokens }: Corpus): string {
  const token = random.pick(tokens);
  const other = random.pick(tokens);
  const at = random.below(token.length);
  return random.pick([
    `${token.slice(0, at)}A${token.slice(at + 1)}`,
    token.slice(0, at),
    token + other.slice(at),
    token.slice(0, 22) + other.slice(22),
    Buffer.from(JSON.stringify(['9223372036854775807', '-1'])).toString('base64url'),
    Buffer.alloc(24, 0xff).toString('base64url'),
    'A'.repeat(32),
    '=',
    '\0',
    LONE_SURROGATE,
  ]);
}
