// Attacks an instance. Attackers are on other machines, so the process has only the CPU time that others leave.
import { setTimeout as sleep } from 'node:timers/promises';
import { serveCommands } from '../../scripts/lib/child.ts';
import { lowerPriority } from '../../scripts/lib/priority.ts';
import { type AttackTarget, attacksOn } from './attacks.ts';

/** Environment of the process. */
export type AttackerEnv = {
  readonly ATTACK_GRPC: string;
  readonly ATTACK_WEB: string;
  readonly ATTACK_TOKEN: string;
  readonly ATTACK_CHANNEL: string;
};

export type AttackerCommands = typeof commands;

const SLICE_MS = 10;

const { ATTACK_GRPC: grpc = '', ATTACK_WEB: web = '', ATTACK_TOKEN: token = '' } = process.env;
const channelId = BigInt(process.env['ATTACK_CHANNEL'] ?? 0);
const target: AttackTarget = { addresses: { grpc, web }, token: async () => token };
const attacks = [...attacksOn('grpc', channelId), ...attacksOn('web', channelId)];
let held: Disposable | undefined;

const commands = {
  /** Repeats an attack for `ms`, and keeps what the last one opened; returns the part of a core that it used. */
  async attack({ name, size, ms }: { name: string; size: number; ms: number }): Promise<number> {
    const found = attacks.find((attack) => attack.name === name);
    if (found === undefined) throw new RangeError(`no attack is called ${name}`);
    const began = performance.now();
    const cpu = process.cpuUsage();
    while (performance.now() - began < ms) {
      const next = await found.run(target, size);
      held?.[Symbol.dispose]();
      held = next;
    }
    const { user, system } = process.cpuUsage(cpu);
    return (user + system) / 1_000 / (performance.now() - began);
  },

  /** Closes what the last attack opened. */
  release(): void {
    held?.[Symbol.dispose]();
    held = undefined;
  },

  /** Uses a part of a core for `ms`. */
  async useCpu({ part, ms }: { part: number; ms: number }): Promise<void> {
    const end = performance.now() + ms;
    while (performance.now() < end) {
      const busyUntil = performance.now() + SLICE_MS * part;
      while (performance.now() < busyUntil);
      await sleep(SLICE_MS * Math.max(0, 1 - part));
    }
  },
};

lowerPriority(process.pid);
serveCommands(commands);
