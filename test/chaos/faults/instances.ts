import { setTimeout as sleep } from 'node:timers/promises';
import type { Instance } from '../instance.ts';
import type { Fault } from '../run.ts';
import type { TestCluster } from '../world.ts';

const DOWN_MS = 500;

/** Each in turn dies by SIGKILL and is started again; over when the last one has been launched. */
export function instanceKilled(rounds: number): Fault {
  return {
    name: 'instance-killed',
    async run(world) {
      for (let round = 0; round < rounds; round += 1) {
        const instance = pick(world, round);
        await instance.kill();
        await sleep(DOWN_MS);
        instance.launch();
        if (round + 1 < rounds) await instance.ready();
      }
    },
  };
}

/** One stands still, by SIGSTOP, for longer than keepalive and heartbeats. */
export function instanceFrozen(ms: number): Fault {
  return {
    name: 'instance-frozen',
    async run({ instances: [instance] }) {
      instance.signal('SIGSTOP');
      await sleep(ms);
      instance.signal('SIGCONT');
    },
    promises: (_, { roamers }) =>
      roamers
        .filter(({ person, reconnects }) => person.home === 0 && reconnects === 0)
        .map(({ person }) => `subscriber ${person.userId} did not notice that its instance stood still`),
  };
}

/** A rolling restart: each in turn drains after SIGTERM and is started again once it has ended. */
export function rollingRestart(rounds: number): Fault {
  return {
    name: 'rolling-restart',
    async run(world) {
      for (let round = 0; round < rounds; round += 1) {
        const instance = pick(world, round);
        const failure = await instance.drain();
        if (failure !== undefined) world.ledger.break(failure);
        await instance.start();
      }
    },
  };
}

function pick({ instances }: TestCluster, round: number): Instance {
  return instances[round % 2 === 0 ? 0 : 1];
}
