import { h } from '../dom.ts';
import { currentLanguage, setLanguage, t } from '../i18n.ts';
import { icon } from '../icons.ts';

const STORED = 'theme';

applyTheme(localStorage.getItem(STORED));

/** Changes the language; `onChange` shows all views again. */
export function languageButton(onChange: () => void): HTMLElement {
  const click = () => {
    setLanguage(currentLanguage() === 'vi' ? 'en' : 'vi');
    onChange();
  };
  const other = currentLanguage() === 'vi' ? 'en' : 'vi';
  return h('button', { type: 'button', class: 'quiet language', lang: other, on: { click } }, t('language'));
}

/** Changes between light and dark; until then the browser decides. */
export function themeButton(): HTMLElement {
  const click = () => {
    const { theme } = document.documentElement.dataset;
    const isDark =
      theme === undefined ? matchMedia('(prefers-color-scheme: dark)').matches : theme === 'dark';
    const next = isDark ? 'light' : 'dark';
    localStorage.setItem(STORED, next);
    applyTheme(next);
  };
  return h(
    'button',
    { type: 'button', class: 'round', 'aria-label': t('theme'), title: t('theme'), on: { click } },
    icon('sun'),
  );
}

function applyTheme(theme: string | null): void {
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset['theme'] = theme;
}
