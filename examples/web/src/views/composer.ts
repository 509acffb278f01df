import type { MentionScopeJson } from '@serp/discuss-client/gen/serp/discuss/v1/message_pb';
import type { Chat } from '../chat.ts';
import type { Message } from '../defaults.ts';
import { h } from '../dom.ts';
import { t } from '../i18n.ts';
import { icon } from '../icons.ts';
import { mentionPicker } from './mention-picker.ts';
import { createPoll } from './poll-form.ts';
import { attempt } from './toast.ts';
import { typingReporter } from './typing.ts';
import { uploadTray } from './upload-tray.ts';

export type ComposerOptions = {
  readonly chat: Chat;
  readonly channelId: string;
  /** First message of the thread that is replied to; '0': none. */
  readonly rootId: string;
  readonly placeholder: string;
  /** The last message of the user, which the arrow key edits. */
  readonly lastOwn: () => Message | undefined;
};

export type Composer = {
  readonly element: HTMLElement;
  edit(message: Message): void;
  addFiles(files: Iterable<File>): void;
  update(): void;
  focus(): void;
  close(): void;
};

/** Writes, edits and replies. Enter sends, Shift+Enter begins a line. */
export function composer({ chat, channelId, rootId, placeholder, lastOwn }: ComposerOptions): Composer {
  const draftKey = `${channelId} ${rootId}`;
  let edited: Message | undefined;
  const input = h('textarea', {
    rows: 1,
    placeholder,
    'aria-label': placeholder,
    dir: 'auto',
    enterkeyhint: 'send',
  });
  const picker = mentionPicker(chat, channelId, input);
  const tray = uploadTray(chat, channelId);
  const typing = typingReporter(chat, channelId);
  const files = h('input', { type: 'file', multiple: true, hidden: true });
  const also = h('input', { type: 'checkbox' });
  const editing = h('p', { class: 'editing', hidden: true }, icon('edit'), t('editing'));
  const button = (name: 'attach' | 'poll', label: string, click: () => void) =>
    h(
      'button',
      { type: 'button', class: 'round', 'aria-label': label, title: label, on: { click } },
      icon(name),
    );
  const send = h(
    'button',
    { class: 'round primary', 'aria-label': t('send'), title: t('send') },
    icon('send'),
  );
  const element = h(
    'form',
    { class: 'composer' },
    picker.element,
    editing,
    tray.element,
    h(
      'div',
      { class: 'row' },
      button('attach', t('attach'), () => files.click()),
      rootId === '0' &&
        button('poll', t('createPoll'), () => void attempt(() => createPoll(chat, channelId))),
      input,
      send,
    ),
    rootId !== '0' && h('label', { class: 'also' }, also, t('alsoInChannel')),
    files,
  );
  input.value = chat.drafts.get(draftKey) ?? '';
  input.addEventListener('input', onInput);
  input.addEventListener('keydown', onKey);
  input.addEventListener('paste', ({ clipboardData }) => tray.add(clipboardData?.files ?? []));
  files.addEventListener('change', () => {
    tray.add(files.files ?? []);
    files.value = '';
    input.focus();
  });
  element.addEventListener('submit', (event) => {
    event.preventDefault();
    void submit();
  });

  function onInput(): void {
    if (edited === undefined) chat.drafts.set(draftKey, input.value);
    if (input.value === '') typing.stop();
    else if (edited === undefined) typing.report();
    picker.update();
    resize();
  }

  function resize(): void {
    input.style.height = 'auto';
    input.style.height = `${input.scrollHeight}px`;
  }

  function onKey(event: KeyboardEvent): void {
    const { key, shiftKey, isComposing } = event;
    // Enter also ends the composition of a Vietnamese or Japanese word.
    if (isComposing) return;
    if (picker.onKey(event)) event.preventDefault();
    else if (key === 'Enter' && !shiftKey) {
      event.preventDefault();
      void submit();
    } else if (key === 'Escape' && edited !== undefined) stopEditing();
    else if (key === 'ArrowUp' && input.value === '') editLast(event);
  }

  function editLast(event: KeyboardEvent): void {
    const own = lastOwn();
    if (own === undefined) return;
    event.preventDefault();
    edit(own);
  }

  async function submit(): Promise<void> {
    const content = input.value.trim();
    if (edited !== undefined) return saveEdit(edited, content);
    if (content === '' && tray.isEmpty) return;
    setText('');
    chat.drafts.delete(draftKey);
    typing.stop();
    const attachmentIds = tray.isEmpty ? [] : await tray.take();
    if (content === '' && attachmentIds.length === 0) return;
    const draft = { channelId, content, attachmentIds, replyToMessageId: rootId, ...mentionsIn(content) };
    await attempt(() => chat.outbox.send({ ...draft, alsoInChannel: also.checked }));
  }

  function mentionsIn(content: string) {
    const userIds = [...chat.store.channel(channelId).members.keys()];
    const mentionUserIds = userIds.filter((userId) => content.includes(`@${chat.nameOf(userId)}`));
    const scopes: readonly (readonly [RegExp, MentionScopeJson])[] = [
      [/(^|\s)@all\b/, 'MENTION_SCOPE_CHANNEL'],
      [/(^|\s)@here\b/, 'MENTION_SCOPE_HERE'],
    ];
    const [, mentionScope] = scopes.find(([pattern]) => pattern.test(content)) ?? [];
    return { mentionUserIds, ...(mentionScope !== undefined && { mentionScope }) };
  }

  async function saveEdit({ id: messageId }: Message, content: string): Promise<void> {
    if (content === '') return;
    const { mentionUserIds } = mentionsIn(content);
    const request = {
      channelId,
      messageId,
      content,
      mentionUserIds,
      updateMask: 'content,mentionUserIds',
    };
    if (await attempt(() => chat.transport.unary('MessageService/EditMessage', request))) stopEditing();
  }

  function edit(message: Message): void {
    edited = message;
    editing.hidden = false;
    setText(message.content);
    input.focus();
  }

  function stopEditing(): void {
    edited = undefined;
    editing.hidden = true;
    setText(chat.drafts.get(draftKey) ?? '');
  }

  function setText(text: string): void {
    input.value = text;
    resize();
  }

  return {
    element,
    edit,
    addFiles: tray.add,
    update: picker.refresh,
    focus: () => input.focus(),
    close: typing.stop,
  };
}
