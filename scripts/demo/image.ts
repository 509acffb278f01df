import { createClient } from '@connectrpc/connect';
import { ScanStatus } from '#gen/serp/discuss/v1/attachment_pb.ts';
import { AttachmentService } from '#gen/serp/discuss/v1/attachment_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { PNG, upload } from '../../test/kit/uploads.ts';
import type { DemoUser } from './users.ts';

/** Uploads an image to the store, sends it, and reads it back; prints its URL. Returns whether the bytes are the same. */
export async function sendImage(user: DemoUser, channelId: bigint): Promise<boolean> {
  const connection = user.connect('Connect');
  try {
    const files = createClient(AttachmentService, connection.transport);
    const { id } = await upload(files, channelId, 'sơ đồ kho.png', PNG, 'image/png');
    const { message } = await createClient(MessageService, connection.transport).sendMessage({
      channelId,
      attachmentIds: [id],
      requestId: crypto.randomUUID(),
    });
    const [attachment] = message?.attachments ?? [];
    const { url } = await files.getDownloadUrl({ channelId, attachmentId: id });
    const response = await fetch(url);
    const isSame = Buffer.from(await response.arrayBuffer()).equals(PNG);
    const scan = attachment?.scanStatus === ScanStatus.CLEAN ? 'no malware found' : 'not scanned yet';
    console.log(`image     ${attachment?.fileName}, ${attachment?.contentType}, ${scan}:\n${url}\n`);
    return isSame;
  } finally {
    connection.cut();
  }
}
