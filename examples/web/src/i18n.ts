import { en, type TextKey } from './texts-en.ts';
import { vi } from './texts-vi.ts';

export type Language = 'vi' | 'en';

const STORED = 'language';

let language: Language = stored() ?? (navigator.language.toLowerCase().startsWith('vi') ? 'vi' : 'en');
document.documentElement.lang = language;

export function currentLanguage(): Language {
  return language;
}

export function setLanguage(next: Language): void {
  language = next;
  document.documentElement.lang = next;
  localStorage.setItem(STORED, next);
}

export function t(key: TextKey, values: Readonly<Record<string, string | number>> = {}): string {
  const text = (language === 'vi' ? vi : en)[key];
  return text.replace(/\{(\w+)\}/g, (_, name: string) => `${values[name] ?? ''}`);
}

function stored(): Language | undefined {
  const value = localStorage.getItem(STORED);
  return value === 'vi' || value === 'en' ? value : undefined;
}
