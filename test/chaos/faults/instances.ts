import { setTimeout as sleep } from 'node:timers/promises';
import type { Instance } from '../instance.ts';
import type { Fault } from '../run.ts';
import type { TestCluster } from '../test-cluster.ts';

const DOWN_MS = 500;

/** Kills the instances in turn by SIGKILL and starts them again. The fault ends when the last one was launched. */
export function instanceKilled(rounds: number): Fault {
  return {
    name: 'instance-killed',
    async run(cluster) {
      for (let round = 0; round < rounds; round += 1) {
        const instance = instanceOf(cluster, round);
        await instance.kill();
        await sleep(DOWN_MS);
        instance.launch();
        if (round + 1 < rounds) await instance.ready();
      }
    },
  };
}

/** Stops an instance by SIGSTOP for longer than the timeouts of keepalive and heartbeats. */
export function instanceFrozen(ms: number): Fault {
  return {
    name: 'instance-frozen',
    async run({ instances: [instance] }) {
      instance.signal('SIGSTOP');
      await sleep(ms);
      instance.signal('SIGCONT');
    },
    check: (_, { subscribers }) =>
      subscribers
        .filter(({ user, reconnects }) => user.home === 0 && reconnects === 0)
        .map(({ user }) => `subscriber ${user.userId} did not detect that its instance was stopped`),
  };
}

/** A rolling restart: each instance in turn drains after SIGTERM and is started again once it has ended. */
export function rollingRestart(rounds: number): Fault {
  return {
    name: 'rolling-restart',
    async run(cluster) {
      for (let round = 0; round < rounds; round += 1) {
        const instance = instanceOf(cluster, round);
        const failure = await instance.drain();
        if (failure !== undefined) cluster.ledger.addViolation(failure);
        await instance.start();
      }
    },
  };
}

function instanceOf({ instances }: TestCluster, round: number): Instance {
  return instances[round % 2 === 0 ? 0 : 1];
}
