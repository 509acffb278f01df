import { PresenceStatus } from '#gen/serp/discuss/v1/presence_pb.ts';

/** A status as it is stored in Redis and in the database. */
export type StatusName = 'OFFLINE' | 'AWAY' | 'BUSY' | 'ONLINE';

/** A stream of a device; an empty id stands for the heartbeats of a device without a stream. */
export type Session = { readonly device: string; readonly kind: string; readonly id: string };

/** How the other users of a tenant see a user. */
export type PresenceState = {
  readonly status: StatusName;
  /** When the status may next change by itself, epoch ms; 0: never. */
  readonly nextChange: number;
  /** When the user's last device expires, epoch ms. */
  readonly end: number;
  /** When the user was last visible, epoch ms; 0: unknown. */
  readonly lastSeen: number;
  /** Increases with every change. */
  readonly version: bigint;
};

/** Parses the field `t:<tenant>` that change-presence.lua writes. */
export function toPresenceState(line: string): PresenceState {
  const [status = '', nextChange = 0, end = 0, lastSeen = 0, version = 0] = line.split(' ');
  return {
    status: toStoredStatus(status),
    nextChange: Number(nextChange),
    end: Number(end),
    lastSeen: Number(lastSeen),
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

export function toStoredStatus(text: string): StatusName {
  return names.find((name) => name === text) ?? 'OFFLINE';
}

export function toStatus(name: StatusName): PresenceStatus {
  return statuses[name];
}

/** The name of a status in a request; undefined for UNSPECIFIED, UNKNOWN and values that this version does not know. */
export function toStatusName(status: PresenceStatus): StatusName | undefined {
  return names.find((name) => statuses[name] === status);
}
