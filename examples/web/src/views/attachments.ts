import { type Attachment, ScanStatus } from '@serp/discuss-client/gen/serp/discuss/v1/attachment_pb';
import type { Message } from '@serp/discuss-client/gen/serp/discuss/v1/message_pb';
import type { Chat } from '../chat.ts';
import { h } from '../dom.ts';
import { sizeOf } from '../format.ts';
import { t } from '../i18n.ts';
import { icon } from '../icons.ts';
import { attempt } from './toast.ts';

const THUMBNAIL = 256;

const WARNINGS: ReadonlyMap<number, 'scanPending' | 'scanInfected' | 'scanError'> = new Map([
  [ScanStatus.PENDING, 'scanPending'],
  [ScanStatus.INFECTED, 'scanInfected'],
  [ScanStatus.ERROR, 'scanError'],
]);

export function attachmentsOf(chat: Chat, { channelId, attachments }: Message): HTMLElement[] {
  if (attachments.length === 0) return [];
  const items = attachments.map((file) =>
    h('li', {}, isPicture(file) ? picture(chat, channelId, file) : card(chat, channelId, file)),
  );
  return [h('ul', { class: 'attachments' }, ...items)];
}

function isPicture({ hasThumbnail, scanStatus }: Attachment): boolean {
  return hasThumbnail && scanStatus !== ScanStatus.INFECTED;
}

function card(chat: Chat, channelId: bigint, file: Attachment): HTMLElement {
  const warning = WARNINGS.get(file.scanStatus);
  const attributes = {
    type: 'button',
    class: 'file',
    disabled: file.scanStatus === ScanStatus.INFECTED || file.scanStatus === ScanStatus.ERROR,
    'aria-label': t('download', { name: file.fileName }),
    on: { click: () => void download(chat, channelId, file, false) },
  };
  const details = [sizeOf(file.size), warning && t(warning)].filter((part) => part !== undefined).join(' · ');
  return h(
    'button',
    attributes,
    icon('file'),
    h('span', {}, h('strong', { dir: 'auto' }, file.fileName), h('small', {}, details)),
    icon('download'),
  );
}

/** Takes its place at once, with the preview, until the thumbnail has arrived. */
function picture(chat: Chat, channelId: bigint, file: Attachment): HTMLElement {
  const image = h('img', { alt: t('image', { name: file.fileName }), title: file.fileName });
  const scale = Math.min(1, THUMBNAIL / Math.max(file.width, file.height, 1));
  image.width = Math.max(1, Math.round(file.width * scale));
  image.height = Math.max(1, Math.round(file.height * scale));
  if (file.preview.length > 0)
    image.src = `data:image/webp;base64,${btoa(String.fromCharCode(...file.preview))}`;
  const request = { channelId, attachmentId: file.id, thumbnail: true };
  chat.attachments.getDownloadUrl(request).then(
    ({ url }) => {
      image.src = url;
    },
    () => {},
  );
  const click = () => void download(chat, channelId, file, true);
  return h('button', { type: 'button', class: 'picture', on: { click } }, image);
}

async function download(chat: Chat, channelId: bigint, file: Attachment, inline: boolean): Promise<void> {
  await attempt(async () => {
    const { url } = await chat.attachments.getDownloadUrl({ channelId, attachmentId: file.id, inline });
    h('a', { href: url, target: '_blank', rel: 'noopener', download: file.fileName }).click();
  });
}
