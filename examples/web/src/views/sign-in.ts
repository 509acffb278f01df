import { type Demo, type DemoUser, signIn } from '../demo.ts';
import { h } from '../dom.ts';
import { currentLanguage, t } from '../i18n.ts';
import { avatar } from '../people.ts';
import { languageButton } from './settings.ts';

/** Asks which demo user the visitor is. */
export function signInView(
  demo: Demo,
  onChosen: (user: DemoUser) => void,
  onLanguage: () => void,
): HTMLElement {
  const choose = (user: DemoUser) => {
    signIn(user);
    onChosen(user);
  };
  return h(
    'main',
    { class: 'sign-in' },
    h('div', { class: 'corner' }, languageButton(onLanguage)),
    h('div', { class: 'brand' }, h('img', { src: 'icon.svg', alt: '', width: 44, height: 44 }), t('appName')),
    h('p', { class: 'tagline' }, t('tagline')),
    h('h1', {}, t('signInTitle')),
    h(
      'ul',
      { class: 'cards' },
      ...demo.users.map((user) =>
        h(
          'li',
          {},
          h(
            'button',
            { type: 'button', on: { click: () => choose(user) } },
            avatar(user.name, user.id),
            h('span', {}, h('strong', {}, user.name), h('small', {}, user.title[currentLanguage()])),
          ),
        ),
      ),
    ),
    h('p', { class: 'hint' }, t('signInHint')),
  );
}
