import { type DescMethod, getOption } from '@bufbuild/protobuf';
import { Access, access } from '#gen/serp/discuss/v1/options_pb.ts';
import { createCorpus, operator, owner, STRANGERS, service, users } from './corpus.ts';
import { HttpClient, type Outcome } from './http.ts';
import { type RawRequest, randomRequest } from './requests.ts';
import { allServices, type Target } from './target.ts';
import type { Corpus, Random } from './values.ts';

// No request of a client may cause one of these.
const FORBIDDEN = new Set([
  'INTERNAL',
  'UNKNOWN',
  'DATA_LOSS',
  'UNAVAILABLE',
  'OUT_OF_RANGE',
  'TIMEOUT',
  'CLOSED',
]);
// gRPC's list of status codes prescribes INTERNAL for these, which grpc-js sends before any code of this service runs:
// https://grpc.github.io/grpc/core/md_doc_statuscodes.html
const PRESCRIBED = /^(Failed%20to%20decompress%20message|Invalid%20grpc-timeout%20value)/;
const DESTRUCTIVE = /^(DeleteChannel|LeaveChannel|RemoveMember|TransferOwnership)$/;
const CONCURRENCY = 8;

/** Counts of outcomes by method, and what must not have happened. */
export class CallReport {
  readonly outcomes = new Map<string, Map<string, number>>();
  readonly violations: string[] = [];
  calls = 0;

  add(method: DescMethod, request: RawRequest, outcome: Outcome): void {
    this.calls += 1;
    const counts = this.outcomes.get(method.name) ?? new Map<string, number>();
    counts.set(outcome.code, (counts.get(outcome.code) ?? 0) + 1);
    this.outcomes.set(method.name, counts);
    const isForbidden = FORBIDDEN.has(outcome.code) || /^HTTP 5/.test(outcome.code);
    if (!isForbidden || PRESCRIBED.test(outcome.text)) return;
    const bytes = request.body.subarray(0, 300).toString('base64');
    const { edge, verb, path, kind } = request;
    this.violations.push(
      `${outcome.code} (${outcome.text.slice(0, 200)}): ${edge} ${verb} ${path.slice(0, 200)}, ${kind}, base64 ${bytes}`,
    );
  }

  /** Methods none of whose calls succeeded. */
  get neverOk(): string[] {
    return [...this.outcomes].filter(([, counts]) => !counts.has('OK')).map(([name]) => name);
  }
}

/** Calls every RPC `perMethod` times with random requests, in a random order. */
export async function fuzzCalls(
  target: Target,
  random: Random,
  perMethod: number,
  report: CallReport,
): Promise<void> {
  const corpus = await createCorpus(target);
  const methods = (await allServices()).flatMap((each) => each.methods);
  const left = methods.flatMap((method) => Array<DescMethod>(perMethod).fill(method));
  using http = new HttpClient(target.addresses);
  const work = async () => {
    while (left.length > 0) {
      const [method] = left.splice(random.below(left.length), 1);
      if (method === undefined) return;
      const request = await requestOf(target, method, corpus, random);
      report.add(method, request, await http.send(request));
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, work));
}

async function requestOf(
  target: Target,
  method: DescMethod,
  corpus: Corpus,
  random: Random,
): Promise<RawRequest> {
  const kind = getOption(method, access);
  const isRandom = random.below(20) === 0;
  const as = isRandom ? random.pick([...users, service, operator]) : callerFor(kind, random);
  const headers = new Map([['authorization', `Bearer ${await target.token(as)}`]]);
  if (as === service && kind !== Access.SERVICE && random.below(2) === 0)
    headers.set('x-user-id', `${owner.userId}`);
  return randomRequest(method, named(corpus, method), random, headers);
}

/** What requests of a method name. */
function named(corpus: Corpus, { name }: DescMethod): Corpus {
  if (name === 'RevokeAccess') return { ...corpus, ...STRANGERS };
  // Channels without members or owner would make most other calls fail.
  if (DESTRUCTIVE.test(name)) return { ...corpus, channels: corpus.channels.slice(0, 2) };
  if (!name.endsWith('Poll')) return corpus;
  return { ...corpus, channels: corpus.channels.map((each) => ({ ...each, messageIds: each.pollIds })) };
}

function callerFor(kind: Access, random: Random) {
  if (kind === Access.OPERATOR) return operator;
  if (kind === Access.SERVICE) return service;
  if (kind === Access.USER_OR_SERVICE) return random.pick([...users, service]);
  return random.pick(users);
}
