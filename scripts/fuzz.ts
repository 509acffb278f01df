// usage: npm run fuzz [-- seconds of random calls [part of the name of an attack ...]]

import { setTimeout as sleep } from 'node:timers/promises';
import { attacksOn } from '../test/fuzz/attacks.ts';
import { CallReport, fuzzCalls } from '../test/fuzz/calls.ts';
import {
  type AttackReport,
  createAttackedChannel,
  MEMORY_GROWTH,
  measureAttack,
  QuietCaller,
  startAttacker,
} from '../test/fuzz/run.ts';
import { FUZZ_SETTINGS, Target } from '../test/fuzz/target.ts';
import { createRandom } from '../test/kit/random.ts';
import { openTestServices } from '../test/kit/services.ts';

const DEFAULT_SECONDS = 60;
// Each round has fresh channels, because many requests delete what others name.
const CALLS_PER_METHOD = 10;
const ATTACK_SIZE = 10;
// Time in which the caller alone uses a new instance: its p99 is 30 to 50 ms at first, and 10 to 20 ms later.
const WARM_UP_MS = 10_000;
const LIMIT_MS = 1_500_000;
// Of the p99 of a well-behaved caller during an attack, to that with the same CPU use and without requests.
const MAX_RATIO = 3;
// Time after an attack in which the caller may still be delayed.
const MAX_RECOVERY_MS = 3_000;
// Other processes of the machine only make a ratio larger.
const ATTEMPTS = 3;
// The attacker's channel is filled at once.
const SETTINGS = { LIMIT_SEND_PER_MINUTE: '0' };

const late = setTimeout(() => {
  console.error(`not finished after ${LIMIT_MS / 1_000} s`);
  process.exit(1);
}, LIMIT_MS);
const [seconds = DEFAULT_SECONDS, ...names] = process.argv.slice(2);
process.exitCode = (await main(Number(seconds), names)) ? 0 : 1;
clearTimeout(late);

/** Returns whether there was no violation. */
async function main(seconds: number, names: readonly string[]): Promise<boolean> {
  const services = await openTestServices((line) => console.error(line));
  Object.assign(process.env, services.env);
  try {
    const count = (seconds > 0 ? report(await fuzz(seconds)) : 0) + report(await attackAll(names));
    console.error(count === 0 ? 'no violations' : `${count} violations`);
    return count === 0;
  } finally {
    await services.close();
  }
}

/** Returns their number. */
function report(violations: readonly string[]): number {
  for (const violation of violations) console.error(`VIOLATION: ${violation}`);
  return violations.length;
}

async function fuzz(seconds: number): Promise<string[]> {
  const random = createRandom(Date.now() % 1_000_000);
  console.error(`seed ${random.seed} (set TEST_SEED to it to repeat the random choices)`);
  await using target = await Target.open(FUZZ_SETTINGS);
  const calls = new CallReport();
  const problems: string[] = [];
  const { live } = await target.instance.memory();
  const end = Date.now() + seconds * 1_000;
  const isComplete = () => calls.calls > 0 && calls.neverOk.length === 0;
  // Longer until a call of each method has succeeded.
  while (problems.length === 0 && Date.now() < (isComplete() ? end : end + seconds * 1_000)) {
    await fuzzCalls(target, random, CALLS_PER_METHOD, calls);
    problems.push(...(await target.problems()));
  }
  await target.memoryReturns(live, MEMORY_GROWTH).catch((error: Error) => problems.push(error.message));
  const after = await target.instance.memory();
  console.error(
    `${calls.calls} calls; memory in use ${megabytes(live)} before and ${megabytes(after.live)} after`,
  );
  for (const [method, counts] of [...calls.outcomes].sort())
    console.error(`${method.padEnd(26)}${[...counts].map(([code, count]) => `${count} ${code}`).join(', ')}`);
  problems.push(...calls.neverOk.map((name) => `no call of ${name} succeeded`));
  return [...calls.violations, ...problems];
}

async function attackAll(names: readonly string[]): Promise<string[]> {
  await using target = await Target.open(SETTINGS);
  const channelId = await createAttackedChannel(target);
  await using attacking = await startAttacker(target, channelId);
  await using quiet = await QuietCaller.start(target);
  // Otherwise the comparison, which comes last, would be the only one with compiled code and prepared statements.
  await sleep(WARM_UP_MS);
  const violations: string[] = [];
  const all = [...attacksOn('grpc', channelId), ...attacksOn('web', channelId)];
  console.error("p99 of a well-behaved caller in ms: attacked, with the attacker's CPU use alone, idle");
  for (const { name } of all.filter(
    ({ name }) => names.length === 0 || names.some((part) => name.includes(part)),
  )) {
    for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
      const measuring = measureAttack(target, attacking, name, ATTACK_SIZE, quiet);
      const measured = await measuring.catch((error: Error) => error);
      if (measured instanceof Error) {
        violations.push(measured.message);
        break;
      }
      print(measured);
      if (ratioOf(measured) <= MAX_RATIO && measured.recoveryMs <= MAX_RECOVERY_MS) break;
      if (attempt < ATTEMPTS) continue;
      violations.push(
        ratioOf(measured) > MAX_RATIO
          ? `${name}: the p99 is above ${MAX_RATIO} times`
          : `${name}: other callers are delayed ${Math.round(measured.recoveryMs)} ms longer than it lasts`,
      );
    }
  }
  return violations;
}

function ratioOf({ attacked, loaded }: AttackReport): number {
  return attacked.p99 / loaded.p99;
}

function print(report: AttackReport): void {
  const { name, heldMemory, keptMemory, load, attacked, loaded, idle, recoveryMs } = report;
  const times = [attacked, loaded, idle].map(({ p99 }) => p99.toFixed(1).padStart(7)).join('');
  const ratio = ratioOf(report);
  const [error] = attacked.errors;
  console.error(
    `${name.padEnd(32)}${times}, ratio ${ratio.toFixed(1)} (to idle ${(attacked.p99 / idle.p99).toFixed(1)}), ` +
      `${attacked.calls} calls, attacker ${Math.round(100 * load)} % of a core, ` +
      `resident memory +${megabytes(heldMemory)}, kept ${megabytes(keptMemory)}, ` +
      `recovered in ${(recoveryMs / 1_000).toFixed(1)} s` +
      (error === undefined ? '' : `, ${attacked.errors.length} errors (${error})`) +
      (ratio > MAX_RATIO ? `, ABOVE ${MAX_RATIO}` : ''),
  );
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`;
}
