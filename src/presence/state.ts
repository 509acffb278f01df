import { PresenceStatus } from '#gen/serp/discuss/v1/presence_pb.ts';

/** Statuses as Redis and the database have them. */
export type StatusName = 'OFFLINE' | 'AWAY' | 'BUSY' | 'ONLINE';

/** One stream of a device, or with the id '' the heartbeats of one without. */
export type Session = { readonly device: string; readonly kind: string; readonly id: string };

/** How others see a user. */
export type Shown = {
  readonly status: StatusName;
  /** When it may change by itself, epoch ms; 0: never. */
  readonly next: number;
  /** When the user's last device ends, epoch ms. */
  readonly end: number;
  /** When the user was last to be seen, epoch ms; 0: unknown. */
  readonly seen: number;
  /** Grows with every change. */
  readonly version: bigint;
};

/** Reads the line that the script of cache.ts writes. */
export function toShown(line: string): Shown {
  const [status = '', next = 0, end = 0, seen = 0, version = 0] = line.split(' ');
  return {
    status: names.find((name) => name === status) ?? 'OFFLINE',
    next: Number(next),
    end: Number(end),
    seen: Number(seen),
    version: BigInt(version),
  };
}

const names: readonly StatusName[] = ['OFFLINE', 'AWAY', 'BUSY', 'ONLINE'];

const statuses: Readonly<Record<StatusName, PresenceStatus>> = {
  OFFLINE: PresenceStatus.OFFLINE,
  AWAY: PresenceStatus.AWAY,
  BUSY: PresenceStatus.BUSY,
  ONLINE: PresenceStatus.ONLINE,
};

export function toStatus(name: StatusName): PresenceStatus {
  return statuses[name];
}

/** The status a caller names; undefined when it is none. */
export function toStatusName(status: PresenceStatus): StatusName | undefined {
  return names.find((name) => statuses[name] === status);
}
