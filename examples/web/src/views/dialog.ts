import { type Child, h } from '../dom.ts';
import { t } from '../i18n.ts';

/** Shows a modal dialog, and resolves with true if the user confirms it. The browser keeps the focus within it. */
export function openDialog(options: {
  readonly title: string;
  readonly content: readonly Child[];
  readonly confirm: string;
  readonly danger?: boolean;
}): Promise<boolean> {
  const { title, content, confirm, danger = false } = options;
  const dialog = h('dialog', { 'aria-label': title });
  const form = h(
    'form',
    { method: 'dialog' },
    h('h2', {}, title),
    ...content,
    h(
      'div',
      { class: 'buttons' },
      h('button', { type: 'button', class: 'quiet', on: { click: () => dialog.close() } }, t('cancel')),
      h('button', { value: 'confirmed', class: danger ? 'danger' : 'primary' }, confirm),
    ),
  );
  dialog.append(form);
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => {
      resolve(dialog.returnValue === 'confirmed');
      dialog.remove();
    });
  });
}
