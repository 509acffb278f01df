import type { Reader } from './reader.ts';

/** Settings of channels, messages and presence. */
export function chatSettings(read: Reader) {
  return {
    channel: {
      maxMembers: read.count('CHANNEL_MAX_MEMBERS', 'members of one channel', 10_000, 1),
      readersMaxMembers: read.count(
        'CHANNEL_READERS_MAX_MEMBERS',
        'largest channel in which ListReaders reports the readers of a message',
        100,
      ),
      maxPins: read.count('CHANNEL_MAX_PINS', 'pinned messages of one channel', 50, 1),
      notices: read.flag(
        'CHANNEL_NOTICES',
        'whether changes of channels and members are reported by messages of type SYSTEM',
        true,
      ),
    },
    message: {
      editWindowHours: read.count('EDIT_WINDOW_HOURS', 'time in which a message may be edited', 24),
      mentionAllMaxMembers: read.count(
        'MENTION_ALL_MAX_MEMBERS',
        'largest channel in which every member may mention all members; in larger ones only admins may',
        200,
      ),
      mentionAllAdminMaxMembers: read.count(
        'MENTION_ALL_ADMIN_MAX_MEMBERS',
        'largest channel in which admins, owners and services may mention all members; in larger ones no caller may',
        10_000,
      ),
      mentionAllPerMinute: read.count(
        'MENTION_ALL_PER_MINUTE',
        'members that one tenant may mention per minute by mentions of whole channels',
        100_000,
      ),
      maxReactions: read.count('REACTION_MAX_KINDS', 'different reactions to one message', 20, 1),
      maxReactionUsers: read.count(
        'REACTION_MAX_USERS',
        'users with the same reaction to a message',
        2_000,
        1,
      ),
    },
    activity: {
      pendingIntervalMs: read.count(
        'ACTIVITY_PENDING_INTERVAL_MS',
        'interval at which activities are recorded that another instance left unfinished, and messages for members with the notification level ALL; those of the own messages are recorded at once',
        1_000,
        1,
      ),
      messagesMaxMembers: read.count(
        'ACTIVITY_MESSAGES_MAX_MEMBERS',
        'largest channel whose messages are activities of members who have set the notification level ALL; 0: of none',
        100,
      ),
    },
    unread: {
      updateIntervalMs: read.count(
        'UNREAD_UPDATE_INTERVAL_MS',
        'interval at which stored unread counts are updated',
        3_000,
      ),
    },
    presence: {
      ttlMs: read.count(
        'PRESENCE_TTL_MS',
        'time that Redis keeps the data of a user without activity',
        300_000,
        1,
      ),
      deviceTtlMs: read.count(
        'PRESENCE_DEVICE_TTL_MS',
        'lifetime of a device without a heartbeat; less than PRESENCE_TTL_MS. Open streams are reported to Redis three times as often',
        120_000,
        1,
      ),
      graceMs: read.count(
        'PRESENCE_GRACE_MS',
        'time that a device stays online after its stream closed',
        15_000,
      ),
      debounceMs: read.count(
        'PRESENCE_DEBOUNCE_MS',
        'time that changes are collected before they are broadcast',
        1_000,
      ),
      pollMs: read.count(
        'PRESENCE_POLL_MS',
        'interval at which one instance looks for expired users and counts online users',
        5_000,
        1,
      ),
      recoveryMs: read.count(
        'PRESENCE_RECOVERY_MS',
        'time after a recovery of Redis in which missing data means UNKNOWN and not OFFLINE; at least 3000, because instances reconnect up to 1 s apart',
        5_000,
      ),
      redisTimeoutMs: read.count(
        'PRESENCE_REDIS_TIMEOUT_MS',
        'time limit for Redis to respond before presence is UNKNOWN',
        500,
        1,
      ),
      maxMembers: read.count(
        'PRESENCE_MAX_MEMBERS',
        'largest channel in which presence is broadcast and lists count online members',
        100,
      ),
      maxChannels: read.count(
        'PRESENCE_MAX_CHANNELS',
        'channels in which the presence of one user is broadcast',
        500,
      ),
      maxDevices: read.count(
        'PRESENCE_MAX_DEVICES',
        'devices of one user; of more, the one that expires first is removed',
        20,
        1,
      ),
      maxChanges: read.count(
        'PRESENCE_MAX_CHANGES',
        'users with changes that an instance may hold before they are broadcast',
        50_000,
        1,
      ),
    },
    typing: {
      ttlMs: read.count('TYPING_TTL_MS', 'time that typing is shown', 10_000, 1),
      intervalMs: read.count(
        'TYPING_INTERVAL_MS',
        'minimum interval of broadcasts about one user who types',
        3_000,
      ),
      maxMembers: read.count('TYPING_MAX_MEMBERS', 'largest channel in which typing is broadcast', 100),
    },
    search: {
      indexIntervalMs: read.count(
        'SEARCH_INDEX_INTERVAL_MS',
        'interval at which new and edited messages are indexed for searches; 0 never',
        500,
      ),
    },
    directory: {
      url: read.service(
        'DIRECTORY_URL',
        'address of the directory of users, https or http on this machine: users are added to channels only if it knows them (docs/operations.md). Without it, every user id is accepted',
      ),
      token: read.optional('DIRECTORY_TOKEN', 'bearer token for the directory'),
      timeoutMs: read.count(
        'DIRECTORY_TIMEOUT_MS',
        'time limit for a request to the directory, which the deadline of the call also ends',
        2_000,
        1,
      ),
      requests: read.count(
        'DIRECTORY_REQUESTS',
        'concurrent requests of an instance to the directory; a tenant has at most a quarter',
        32,
        1,
      ),
      cacheMs: read.count(
        'DIRECTORY_CACHE_MS',
        'time for which an instance remembers a known user. Unknown users are not remembered',
        60_000,
      ),
      cacheUsers: read.count('DIRECTORY_CACHE_USERS', 'number of users that an instance remembers', 100_000),
    },
  };
}
