// usage: npm run fuzz [-- seconds of random calls]

import { attacksOn } from '../test/fuzz/attacks.ts';
import { CallReport, fuzzCalls } from '../test/fuzz/calls.ts';
import { type AttackReport, attack, createAttackedChannel, QuietCaller } from '../test/fuzz/run.ts';
import { NO_LIMITS, Target } from '../test/fuzz/target.ts';
import { createRandom } from '../test/kit/random.ts';
import { openTestServices } from '../test/kit/services.ts';

const DEFAULT_SECONDS = 60;
const CALLS_PER_METHOD = 50;
const ATTACK_SIZE = 10;
const LIMIT_MS = 900_000;
// Of the p99 of a well-behaved caller during an attack, to that before all attacks.
const MAX_RATIO = 3;
// The attacker's channel is filled at once.
const SETTINGS = { LIMIT_SEND_PER_MINUTE: '0' };

const late = setTimeout(() => {
  console.error(`not finished after ${LIMIT_MS / 1_000} s`);
  process.exit(1);
}, LIMIT_MS);
process.exitCode = (await main(Number(process.argv[2] ?? DEFAULT_SECONDS))) ? 0 : 1;
clearTimeout(late);

/** Returns whether there was no violation. */
async function main(seconds: number): Promise<boolean> {
  const services = await openTestServices((line) => console.error(line));
  Object.assign(process.env, services.env);
  try {
    const violations = [...(await fuzz(seconds)), ...(await attackAll())];
    for (const violation of violations) console.error(`VIOLATION: ${violation}`);
    return violations.length === 0;
  } finally {
    await services.close();
  }
}

async function fuzz(seconds: number): Promise<string[]> {
  const random = createRandom(Date.now() % 1_000_000);
  console.error(`seed ${random.seed} (set TEST_SEED to it to repeat the random choices)`);
  await using target = await Target.open(NO_LIMITS);
  const report = new CallReport();
  const problems: string[] = [];
  const { live } = await target.instance.memory();
  const end = Date.now() + seconds * 1_000;
  while (Date.now() < end && problems.length === 0) {
    await fuzzCalls(target, random, CALLS_PER_METHOD, report);
    problems.push(...(await target.problems()));
  }
  const after = await target.instance.memory();
  console.error(
    `${report.calls} calls; memory in use ${megabytes(live)} before and ${megabytes(after.live)} after`,
  );
  for (const [method, counts] of report.outcomes)
    console.error(`${method.padEnd(26)}${[...counts].map(([code, count]) => `${count} ${code}`).join(', ')}`);
  return [...report.violations, ...problems];
}

async function attackAll(): Promise<string[]> {
  await using target = await Target.open(SETTINGS);
  const channelId = await createAttackedChannel(target);
  await using quiet = await QuietCaller.start(target);
  await quiet.report();
  const { p99 } = await quiet.report();
  console.error(`p99 of a well-behaved caller before the attacks: ${p99.toFixed(1)} ms`);
  const violations: string[] = [];
  for (const each of [...attacksOn('grpc', channelId), ...attacksOn('web', channelId)])
    await attack(target, each, ATTACK_SIZE, quiet).then(
      (report) => print(report, p99),
      (error: Error) => violations.push(error.message),
    );
  return violations;
}

function print({ name, heldMemory, quiet }: AttackReport, base: number): void {
  const ratio = (quiet?.p99 ?? 0) / base;
  const verdict = ratio > MAX_RATIO ? `  above ${MAX_RATIO}` : '';
  const errors = quiet?.errors.length ?? 0;
  console.error(
    `${name.padEnd(32)} p99 ${(quiet?.p99 ?? 0).toFixed(1).padStart(8)} ms, ratio ${ratio.toFixed(1)}${verdict}; ` +
      `${errors} errors${errors > 0 ? ` (${quiet?.errors[0]})` : ''}; resident memory +${megabytes(heldMemory)}`,
  );
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`;
}
