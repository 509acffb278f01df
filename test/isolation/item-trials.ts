import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { type Client, createClient, type Transport } from '@connectrpc/connect';
import { MessageType } from '#gen/serp/discuss/v1/message_pb.ts';
import { MessageService, type SendOutcome } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { Access } from '#gen/serp/discuss/v1/options_pb.ts';
import type { As } from '../kit/app.ts';
import { resultOf } from '../kit/send-stream.ts';
import { ana, type Victim } from './fixture.ts';
import type { OutsiderCall, Trial } from './trial.ts';

type Send = (client: Client<typeof MessageService>, victim: Victim, as: As) => Promise<SendOutcome[]>;

/** RPCs that send several messages: NOT_FOUND (CHANNEL_NOT_FOUND) as the outcome of each for outsiders. */
export const itemTrials: readonly Trial[] = [
  toTrial(MessageService.method.batchSendMessages, async (client, victim, as) => {
    const { outcomes } = await client.batchSendMessages({ requests: [toRequest(victim, as)] });
    return outcomes;
  }),
  toTrial(MessageService.method.sendMessages, async (client, victim, as) => {
    const requests = async function* () {
      yield { request: toRequest(victim, as) };
    };
    const outcomes: SendOutcome[] = [];
    for await (const { outcome } of client.sendMessages(requests()))
      if (outcome !== undefined) outcomes.push(outcome);
    return outcomes;
  }),
];

function toTrial(method: Trial['method'], send: Send): Trial {
  const sendAs = (transport: Transport, victim: Victim, as: As) =>
    send(createClient(MessageService, transport), victim, as);
  const invoke = ({ transport, victim, as }: OutsiderCall) => sendAs(transport, victim, as);
  return {
    method,
    kind: 'rejected',
    access: Access.USER_OR_SERVICE,
    tenantWide: false,
    invoke,
    async assertOutsider(call) {
      assert.deepEqual((await invoke(call)).map(resultOf), ['CHANNEL_NOT_FOUND']);
    },
    async assertAllowed(fixture) {
      const outcomes = await sendAs(fixture.app.transport(ana, 'grpc', 0), await fixture.newGroup(), ana);
      assert.deepEqual(outcomes.map(resultOf), ['OK']);
    },
  };
}

// A service that acts for itself posts nothing but SYSTEM messages.
function toRequest({ channelId }: Victim, { userId }: As) {
  const type = userId > 0n ? MessageType.TEXT : MessageType.SYSTEM;
  return { channelId, content: 'tin mới', type, requestId: randomUUID() };
}
