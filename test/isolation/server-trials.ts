import assert from 'node:assert/strict';
import { Access } from '#gen/serp/discuss/v1/options_pb.ts';
import { ServerService } from '#gen/serp/discuss/v1/server_service_pb.ts';
import { ownData, type Trial } from './trial.ts';

const { method } = ServerService;

export const serverTrials: readonly Trial[] = [
  ownData(method.getServerInfo, {
    access: Access.ANY,
    request: () => ({}),
    shows: ({ limits }) => assert.equal(limits?.channelMembers, 10_000),
    outsider: ({ limits }) => assert.equal(limits?.channelMembers, 10_000),
  }),
];
