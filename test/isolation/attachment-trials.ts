import assert from 'node:assert/strict';
import { Code } from '@connectrpc/connect';
import { AttachmentService } from '#gen/serp/discuss/v1/attachment_service_pb.ts';
import { Access } from '#gen/serp/discuss/v1/options_pb.ts';
import { rejects } from '../kit/rejects.ts';
import { PNG, upload, uploadOf } from '../kit/uploads.ts';
import { ana, type Fixture, type Victim } from './fixture.ts';
import { rejected, type Trial } from './trial.ts';

const { method } = AttachmentService;
const access = Access.USER;

const file = ({ channelId, attachmentId }: Victim) => ({ channelId, attachmentId });

/** A group with a file that was not sent. */
async function withUpload({ app, newGroup }: Fixture): Promise<Victim> {
  const group = await newGroup();
  const { id } = await upload(app.client(AttachmentService, ana), group.channelId, 'a.png', PNG);
  return { ...group, attachmentId: id };
}

async function assertRemoved(victim: Victim, { app }: Fixture): Promise<void> {
  const call = app.client(AttachmentService, ana).getAttachment(file(victim));
  await rejects(call, Code.NotFound, 'ATTACHMENT_NOT_FOUND');
}

export const attachmentTrials: readonly Trial[] = [
  rejected(method.createUpload, {
    access,
    request: ({ channelId }) => uploadOf(channelId, 'a.png', PNG),
    shows: ({ attachment, parts }) => assert.deepEqual([attachment?.fileName, parts.length], ['a.png', 1]),
  }),
  rejected(method.completeUpload, {
    access,
    request: file,
    victim: withUpload,
    shows: ({ attachment }) => assert.equal(attachment?.uploaded, true),
  }),
  rejected(method.abortUpload, {
    access,
    request: file,
    victim: withUpload,
    shows: (_, victim, fixture) => assertRemoved(victim, fixture),
  }),
  rejected(method.getAttachment, {
    access,
    request: file,
    shows: ({ attachment }, victim) => assert.equal(attachment?.id, victim.attachmentId),
  }),
  rejected(method.getDownloadUrl, {
    access,
    request: file,
    shows: async ({ url }) => {
      const response = await fetch(url);
      assert.deepEqual(Buffer.from(await response.arrayBuffer()), PNG);
    },
  }),
  rejected(method.listAttachments, {
    access,
    request: ({ channelId }) => ({ channelId }),
    shows: ({ attachments }, victim) =>
      assert.deepEqual(
        attachments.map(({ id }) => id),
        [victim.attachmentId],
      ),
  }),
  rejected(method.deleteAttachment, {
    access,
    request: file,
    shows: (_, victim, fixture) => assertRemoved(victim, fixture),
  }),
];
