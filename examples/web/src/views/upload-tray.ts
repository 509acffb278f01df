import type { AttachmentJson } from '@serp/discuss-client/gen/serp/discuss/v1/attachment_pb';
import type { Chat } from '../chat.ts';
import { h } from '../dom.ts';
import { textOf } from '../errors.ts';
import { sizeOf } from '../format.ts';
import { t } from '../i18n.ts';
import { icon } from '../icons.ts';
import { uploadFile } from '../uploads.ts';

type Upload = {
  readonly element: HTMLElement;
  readonly done: Promise<AttachmentJson | undefined>;
  readonly cancel: AbortController;
};

export type UploadTray = {
  readonly element: HTMLElement;
  add(files: Iterable<File>): void;
  readonly isEmpty: boolean;
  /** Waits for all uploads, and returns the ids of the files that can be sent. */
  take(): Promise<string[]>;
};

/** Files that are uploaded while the user writes, with their progress. */
export function uploadTray(chat: Chat, channelId: string): UploadTray {
  const uploads = new Set<Upload>();
  const element = h('ul', { class: 'tray', hidden: true });

  function add(files: Iterable<File>): void {
    for (const file of files) start(file);
    element.hidden = uploads.size === 0;
  }

  function start(file: File): void {
    const cancel = new AbortController();
    const progress = h('progress', { max: 1, value: 0, 'aria-label': file.name });
    const status = h('small', { role: 'status' }, sizeOf(file.size));
    const label = t('removeFile', { name: file.name });
    const remove = h(
      'button',
      { type: 'button', class: 'round', 'aria-label': label, title: label },
      icon('close'),
    );
    const item = h(
      'li',
      {},
      icon('file'),
      h('span', {}, h('strong', { dir: 'auto' }, file.name), status),
      progress,
      remove,
    );
    const onProgress = (share: number) => {
      progress.value = share;
      status.textContent = t('uploading', { name: '', percent: Math.round(share * 100) });
    };
    const done = uploadFile(chat, channelId, file, onProgress, cancel.signal).then(
      (attachment) => {
        progress.hidden = true;
        status.textContent = sizeOf(file.size);
        item.classList.add('ready');
        return attachment;
      },
      (error: unknown) => {
        progress.hidden = true;
        status.textContent = t('uploadFailed', { reason: textOf(error) });
        item.classList.add('failed');
        return undefined;
      },
    );
    const upload = { element: item, done, cancel };
    remove.addEventListener('click', () => discard(upload));
    uploads.add(upload);
    element.append(item);
  }

  function discard(upload: Upload): void {
    upload.cancel.abort();
    uploads.delete(upload);
    upload.element.remove();
    element.hidden = uploads.size === 0;
  }

  async function take(): Promise<string[]> {
    const taken = [...uploads];
    const files = await Promise.all(taken.map(({ done }) => done));
    const ids = files.flatMap((file) => (file?.id === undefined ? [] : [file.id]));
    for (const upload of taken) {
      upload.element.remove();
      uploads.delete(upload);
    }
    element.hidden = uploads.size === 0;
    return ids;
  }

  return {
    element,
    add,
    take,
    get isEmpty() {
      return uploads.size === 0;
    },
  };
}
