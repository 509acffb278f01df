import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, createClient } from '@connectrpc/connect';
import sharp from 'sharp';
import { type Attachment, ScanStatus } from '#gen/serp/discuss/v1/attachment_pb.ts';
import { AttachmentService } from '#gen/serp/discuss/v1/attachment_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { upload } from '../../test/kit/uploads.ts';
import type { DemoUser } from './users.ts';

const SCAN_MS = 10_000;
const POLL_MS = 100;

/**
 * Uploads an image to the store, sends it, and reads it back; prints its URL and, once it is scanned, that of its
 * thumbnail. Returns whether the bytes are the same.
 */
export async function sendImage(user: DemoUser, channelId: bigint): Promise<boolean> {
  const connection = user.connect('Connect');
  try {
    const files = createClient(AttachmentService, connection.transport);
    const image = await drawing();
    const { id } = await upload(files, channelId, 'sơ đồ kho.png', image, 'image/png');
    await createClient(MessageService, connection.transport).sendMessage({
      channelId,
      attachmentIds: [id],
      requestId: crypto.randomUUID(),
    });
    const call = { channelId, attachmentId: id };
    const attachment = await untilScanned(files, call);
    const { url } = await files.getDownloadUrl({ ...call, inline: true });
    const response = await fetch(url);
    const isSame = Buffer.from(await response.arrayBuffer()).equals(image);
    const isClean = attachment?.scanStatus === ScanStatus.CLEAN;
    console.log(
      `image     ${attachment?.fileName}, ${attachment?.contentType}, ${isClean ? 'clean' : 'not scanned'}:\n${url}`,
    );
    if (attachment?.hasThumbnail)
      console.log(`thumbnail ${(await files.getDownloadUrl({ ...call, thumbnail: true })).url}`);
    console.log('');
    return isSame;
  } finally {
    connection.cut();
  }
}

async function untilScanned(
  files: Client<typeof AttachmentService>,
  call: { readonly channelId: bigint; readonly attachmentId: bigint },
): Promise<Attachment | undefined> {
  const deadline = performance.now() + SCAN_MS;
  for (;;) {
    const { attachment } = await files.getAttachment(call);
    const isPending = attachment?.scanStatus === ScanStatus.PENDING;
    // Without clamd it stays pending.
    if (!isPending || performance.now() > deadline) return attachment;
    await sleep(POLL_MS);
  }
}

function drawing(): Promise<Buffer> {
  const shelves = [40, 130, 220].map((y) => `<rect x="40" y="${y}" width="400" height="60" fill="#c86"/>`);
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="480" height="320">${shelves.join('')}</svg>`;
  return sharp(Buffer.from(svg)).flatten({ background: '#eef' }).png().toBuffer();
}
