import type { AttachmentJson } from '@serp/discuss-client/gen/serp/discuss/v1/attachment_pb';
import type { Chat } from '../chat.ts';
import type { Message } from '../defaults.ts';
import { h } from '../dom.ts';
import { lengthOf, sizeOf } from '../format.ts';
import { t } from '../i18n.ts';
import { icon } from '../icons.ts';
import { attempt } from './toast.ts';

const THUMBNAIL = 256;

const WARNINGS: ReadonlyMap<string, 'scanPending' | 'scanInfected' | 'scanError'> = new Map([
  ['SCAN_STATUS_PENDING', 'scanPending'],
  ['SCAN_STATUS_INFECTED', 'scanInfected'],
  ['SCAN_STATUS_ERROR', 'scanError'],
]);

export function attachmentsOf(chat: Chat, { channelId, attachments }: Message): HTMLElement[] {
  if (attachments.length === 0) return [];
  const items = attachments.map((file) =>
    h('li', {}, isPicture(file) ? picture(chat, channelId, file) : card(chat, channelId, file)),
  );
  return [h('ul', { class: 'attachments' }, ...items)];
}

function isPicture({ hasThumbnail = false, scanStatus }: AttachmentJson): boolean {
  return hasThumbnail && scanStatus !== 'SCAN_STATUS_INFECTED';
}

function card(chat: Chat, channelId: string, file: AttachmentJson): HTMLElement {
  const warning = WARNINGS.get(file.scanStatus ?? '');
  const { fileName: name = '' } = file;
  const attributes = {
    type: 'button',
    class: 'file',
    disabled: file.scanStatus === 'SCAN_STATUS_INFECTED' || file.scanStatus === 'SCAN_STATUS_ERROR',
    'aria-label': t('download', { name }),
    on: { click: () => void download(chat, channelId, file, false) },
  };
  const { duration } = file;
  const details = [sizeOf(Number(file.size ?? 0)), duration && lengthOf(duration), warning && t(warning)]
    .filter((part) => part !== undefined)
    .join(' · ');
  return h(
    'button',
    attributes,
    icon('file'),
    h('span', {}, h('strong', { dir: 'auto' }, name), h('small', {}, details)),
    icon('download'),
  );
}

/** Takes its place at once, with the preview, until the thumbnail has arrived. */
function picture(chat: Chat, channelId: string, file: AttachmentJson): HTMLElement {
  const { id: attachmentId = '0', fileName: name = '', width = 0, height = 0, preview } = file;
  const image = h('img', { alt: t('image', { name }), title: name });
  const scale = Math.min(1, THUMBNAIL / Math.max(width, height, 1));
  image.width = Math.max(1, Math.round(width * scale));
  image.height = Math.max(1, Math.round(height * scale));
  if (preview !== undefined) image.src = `data:image/webp;base64,${preview}`;
  const request = { channelId, attachmentId, thumbnail: true };
  chat.transport.unary('AttachmentService/GetDownloadUrl', request).then(
    ({ url = '' }) => {
      image.src = url;
    },
    () => {},
  );
  const click = () => void download(chat, channelId, file, true);
  return h('button', { type: 'button', class: 'picture', on: { click } }, image);
}

async function download(chat: Chat, channelId: string, file: AttachmentJson, inline: boolean): Promise<void> {
  await attempt(async () => {
    const { id: attachmentId = '0', fileName: download = '' } = file;
    const request = { channelId, attachmentId, inline };
    const { url: href = '' } = await chat.transport.unary('AttachmentService/GetDownloadUrl', request);
    h('a', { href, target: '_blank', rel: 'noopener', download }).click();
  });
}
