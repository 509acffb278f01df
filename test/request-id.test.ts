import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { create, type DescMethod, type DescMethodUnary } from '@bufbuild/protobuf';
import { Code } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport } from '@connectrpc/connect-node';
import { BadRequestSchema } from '#gen/google/rpc/error_details_pb.ts';
import { ActivityService } from '#gen/serp/discuss/v1/activity_service_pb.ts';
import { AttachmentService } from '#gen/serp/discuss/v1/attachment_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, app } from './kit/app.ts';
import { rejects } from './kit/rejects.ts';

const methods = [ChannelService, MessageService, ActivityService, AttachmentService]
  .flatMap((service) => service.methods)
  .filter(isUnary)
  .filter(({ input }) => input.fields.some(({ name }) => name === 'request_id'));

let testApp: App;

suite('request ids', () => {
  before(async () => {
    testApp = await app();
  });
  after(() => testApp.close());

  test('methods that are idempotent by a request id require it, on both edges', async () => {
    const [service] = testApp.instances;
    const token = await testApp.tokens.sign({ userId: 0n, tenantId: 1n, roles: ['discuss.service'] });
    const headers = { authorization: `Bearer ${token}`, 'x-user-id': '1' };
    const transports = [
      createGrpcTransport({ baseUrl: `http://${service?.grpcAddress}` }),
      createConnectTransport({ baseUrl: `http://${service?.webAddress}`, httpVersion: '2' }),
    ];
    assert.equal(methods.length, 5);
    for (const method of methods)
      for (const transport of transports) {
        const call = transport.unary(method, undefined, undefined, headers, create(method.input));
        const error = await rejects(call, Code.InvalidArgument, 'FIELD_INVALID');
        const fields = error.findDetails(BadRequestSchema).flatMap(({ fieldViolations }) => fieldViolations);
        assert.ok(
          fields.some(({ field }) => field === 'request_id'),
          method.toString(),
        );
      }
  });
});

function isUnary(method: DescMethod): method is DescMethodUnary {
  return method.methodKind === 'unary';
}
