import type { Chat } from '../chat.ts';
import { h } from '../dom.ts';
import { t } from '../i18n.ts';
import { openDialog } from './dialog.ts';

const MAX_OPTIONS = 20;

/** Asks for a question and its options, and posts them as a poll. */
export async function createPoll(chat: Chat, channelId: string): Promise<void> {
  const question = h('input', {
    name: 'question',
    required: true,
    maxlength: 500,
    'aria-label': t('question'),
    placeholder: t('question'),
  });
  const options = h('div', { class: 'options' });
  const addOption = () => {
    const number = options.children.length + 1;
    const label = t('option', { number });
    options.append(
      h('input', { required: number <= 2, maxlength: 200, 'aria-label': label, placeholder: label }),
    );
    more.hidden = number >= MAX_OPTIONS;
  };
  const more = h('button', { type: 'button', class: 'link', on: { click: addOption } }, t('addOption'));
  addOption();
  addOption();
  const multiple = h('input', { type: 'checkbox' });
  const anonymous = h('input', { type: 'checkbox' });
  const isConfirmed = await openDialog({
    title: t('createPoll'),
    content: [
      question,
      options,
      more,
      h('label', {}, multiple, t('multiple')),
      h('label', {}, anonymous, t('anonymous')),
    ],
    confirm: t('send'),
  });
  if (!isConfirmed) return;
  const texts = [...options.querySelectorAll('input')]
    .map(({ value }) => value.trim())
    .filter((text) => text !== '');
  const poll = { options: [...new Set(texts)], multiple: multiple.checked, anonymous: anonymous.checked };
  await chat.outbox.send({ channelId, type: 'MESSAGE_TYPE_POLL', content: question.value, poll });
}
