import { type Benchmark, ratioAtLeast } from '../lib/benchmark.ts';
import { type Caller, createCallers } from '../lib/callers.ts';
import { createChannels, users } from '../lib/channels.ts';
import { GrpcClient } from '../lib/grpc-client.ts';
import { callsPerSecond } from '../lib/load.ts';
import { compare, type Measurement } from '../lib/measure.ts';
import { type Stack, TENANT } from '../lib/stack.ts';

const CALLERS = 64;
const WARM_UP_MS = 1_500;
const RUN_MS = 3_000;

/**
 * SendMessage calls per second of callers that each have a tenant of their own, over those of as many callers of one tenant,
 * each in a channel of its own: the cost of serving tenants in turn, with a share of each batch.
 */
export const manyTenantsVsOne: Benchmark = {
  name: 'many_tenants_vs_one',
  subject: 'send',
  isHeadline: false,
  goals: { many_tenants_vs_one: ratioAtLeast(0.7) },
  run: async (stack) => [await measure(stack)],
};

async function measure(stack: Stack): Promise<Measurement> {
  await using database = await stack.database();
  const owner = database.owner(1);
  const oneEach = users(CALLERS).map((userId) => [userId]);
  const one = await createCallers(stack, await createChannels(owner, oneEach), users(CALLERS), CALLERS);
  const many: Caller[] = [];
  for (let index = 0; index < CALLERS; index += 1) {
    const tenantId = TENANT + 1n + BigInt(index);
    const channels = await createChannels(owner, [[1n]], tenantId);
    const callerAt = await createCallers(stack, channels, [1n], 1, tenantId);
    many.push(callerAt(0));
  }
  await using service = await stack.service(database);
  using client = new GrpcClient((await service.call('addresses')).grpc);
  const rateOf = (callerAt: (index: number) => Caller | undefined) => () =>
    callsPerSecond(CALLERS, RUN_MS, (index) => {
      const caller = callerAt(index);
      if (caller === undefined) throw new RangeError(`no caller ${index}`);
      return client.send(index, caller);
    });
  const ofMany = rateOf((index) => many[index % CALLERS]);
  const ofOne = rateOf(one);
  await callsPerSecond(CALLERS, WARM_UP_MS, (index) => client.send(index, one(index)));
  return await compare('many_tenants_vs_one', 'calls/s', ofMany, ofOne);
}
