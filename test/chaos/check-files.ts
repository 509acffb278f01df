import { ScanStatus } from '#gen/serp/discuss/v1/attachment_pb.ts';
import { AttachmentService } from '#gen/serp/discuss/v1/attachment_service_pb.ts';
import { until } from '../kit/until.ts';
import type { TestCluster } from './test-cluster.ts';
import type { UploadedFile, Uploader } from './uploader.ts';

const { CLEAN, INFECTED } = ScanStatus;
const SCAN_MS = 30_000;

/** Files that are not scanned, have another result than expected, or other bytes than were uploaded. */
export async function wrongFiles({ uploaders, stores }: TestCluster): Promise<string[]> {
  // As if the time of claims had passed whose instance was killed.
  await stores.owner`update attachments set next_scan_at = 0 where scan_status = 'PENDING'`;
  const countPending = async () =>
    (await stores.owner`select from attachments where scan_status = 'PENDING' and upload_state = 'UPLOADED'`)
      .length;
  const late = await until(async () => (await countPending()) === 0, 'the scan of all files', SCAN_MS).then(
    () => [],
    (error: Error) => [error.message],
  );
  const wrong = await Promise.all(
    uploaders.flatMap((uploader) =>
      uploader.files.map(async (file) =>
        (await check(uploader, file)).map((what) => `file ${file.id} ${what}`),
      ),
    ),
  );
  return [...late, ...wrong.flat()];
}

async function check(
  { user, channelId }: Uploader,
  { id, bytes, infected }: UploadedFile,
): Promise<string[]> {
  const call = { channelId, attachmentId: id };
  const { attachment } = await user.retry(AttachmentService, (client, options) =>
    client.getAttachment(call, options),
  );
  const status = attachment?.scanStatus;
  if (status !== (infected ? INFECTED : CLEAN)) return [`has the scan status ${status}`];
  if (infected) return [];
  const { url } = await user.retry(AttachmentService, (client, options) =>
    client.getDownloadUrl(call, options),
  );
  const stored = Buffer.from(await (await fetch(url)).arrayBuffer());
  return stored.equals(bytes) ? [] : ['has other bytes'];
}
