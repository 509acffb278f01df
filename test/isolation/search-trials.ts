import assert from 'node:assert/strict';
import { Access } from '#gen/serp/discuss/v1/options_pb.ts';
import { SearchService } from '#gen/serp/discuss/v1/search_service_pb.ts';
import { assertOnlyPublic } from './channel-trials.ts';
import { SECRET } from './fixture.ts';
import { empty, type Trial } from './trial.ts';

const { method } = SearchService;
const { USER } = Access;

export const searchTrials: readonly Trial[] = [
  empty(method.searchMessages, {
    access: USER,
    request: () => ({ query: 'tuyet mat', pageSize: 50 }),
    victim: ({ group }) => group,
    shows: ({ messages }, { messageId }) =>
      assert.ok(messages.some((message) => message.messageId === messageId)),
  }),
  empty(method.searchMessages, {
    access: USER,
    request: ({ channelId }) => ({ query: 'tuyet mat', channelIds: [channelId] }),
    shows: ({ messages }, { messageId }) =>
      assert.ok(messages.some((message) => message.messageId === messageId)),
  }),
  empty(method.searchChannels, {
    access: USER,
    request: () => ({ query: 'tuyet', pageSize: 50 }),
    victim: ({ group }) => group,
    shows: ({ channels }, { channelId }) =>
      assert.ok(channels.some(({ channel }) => channel?.id === channelId && channel.name === SECRET)),
    sameTenant: ({ channels }, fixture) => assertOnlyPublic(channels, fixture),
  }),
];
