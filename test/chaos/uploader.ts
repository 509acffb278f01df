import { randomBytes, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { AttachmentService, type UploadPart } from '#gen/serp/discuss/v1/attachment_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { EICAR } from '../kit/clamd.ts';
import { PNG, putPart, uploadOf } from '../kit/uploads.ts';
import type { TestUser } from './test-user.ts';

const INTERVAL_MS = 400;
const RETRY_MS = 300;
const FILE_BYTES = 100_000;

/** A file that was uploaded, and was sent in a message unless it is infected. */
export type UploadedFile = { readonly id: bigint; readonly bytes: Buffer; readonly infected: boolean };

/** Uploads and sends small files, and repeats each step until it succeeds. */
export class Uploader {
  readonly user: TestUser;
  readonly channelId: bigint;
  readonly files: UploadedFile[] = [];
  #count = 0;

  constructor(user: TestUser, channelId: bigint) {
    this.user = user;
    this.channelId = channelId;
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#count += 1;
      await this.#send(this.#count);
      await sleep(INTERVAL_MS);
    }
  }

  async #send(count: number): Promise<void> {
    const infected = count % 5 === 0;
    const bytes = infected ? EICAR : count % 2 === 0 ? PNG : randomBytes(FILE_BYTES);
    const id = await this.#upload(`tệp ${count}`, bytes);
    this.files.push({ id, bytes, infected });
    // If it was scanned already, it could not be sent.
    if (infected) return;
    const request = { channelId: this.channelId, attachmentIds: [id], requestId: randomUUID() };
    const { message } = await this.user.retry(MessageService, (client, options) =>
      client.sendMessage(request, options),
    );
    this.user.ledger.acknowledge(message?.id ?? 0n);
  }

  async #upload(name: string, bytes: Buffer): Promise<bigint> {
    const { channelId } = this;
    const request = uploadOf(channelId, name, bytes);
    for (;;) {
      const { attachment, parts } = await this.user.retry(AttachmentService, (client, options) =>
        client.createUpload(request, options),
      );
      const attachmentId = attachment?.id ?? 0n;
      if (await isStored(parts, bytes)) {
        await this.user.retry(AttachmentService, (client, options) =>
          client.completeUpload({ channelId, attachmentId }, options),
        );
        return attachmentId;
      }
      await sleep(RETRY_MS);
    }
  }
}

async function isStored(parts: readonly UploadPart[], bytes: Buffer): Promise<boolean> {
  try {
    for (const part of parts) if (!part.received && (await putPart(part, bytes)).status !== 200) return false;
    return true;
  } catch {
    // The store is down.
    return false;
  }
}
