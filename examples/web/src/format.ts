import { currentLanguage, t } from './i18n.ts';

const DAY_MS = 86_400_000;

export function timeOf(timestamp: string | undefined): string {
  return timestamp === undefined ? '' : format(new Date(timestamp), { hour: '2-digit', minute: '2-digit' });
}

export function fullTimeOf(timestamp: string | undefined): string {
  return timestamp === undefined
    ? ''
    : format(new Date(timestamp), { dateStyle: 'full', timeStyle: 'short' });
}

/** Identifies the day in the time zone of the browser. */
export function dayKey(timestamp: string | undefined): string {
  return timestamp === undefined ? '' : new Date(timestamp).toDateString();
}

export function dayOf(timestamp: string | undefined): string {
  if (timestamp === undefined) return '';
  const day = dayKey(timestamp);
  if (day === new Date().toDateString()) return t('today');
  if (day === new Date(Date.now() - DAY_MS).toDateString()) return t('yesterday');
  return format(new Date(timestamp), {
    weekday: 'long',
    day: 'numeric',
    month: 'long',
    year: 'numeric',
  });
}

/** The time today, else the day. */
export function shortTimeOf(timestamp: string | undefined): string {
  if (timestamp === undefined) return '';
  if (dayKey(timestamp) === new Date().toDateString()) return timeOf(timestamp);
  return format(new Date(timestamp), { day: 'numeric', month: 'numeric' });
}

/** Minutes and seconds of a duration such as `90.250s`. */
export function lengthOf(duration: string): string {
  const seconds = Math.round(Number.parseFloat(duration));
  return `${Math.floor(seconds / 60)}:${`${seconds % 60}`.padStart(2, '0')}`;
}

export function sizeOf(bytes: number): string {
  const [value, unit] =
    bytes < 1_000_000 ? [Math.max(1, bytes / 1_000), 'kilobyte'] : [bytes / 1_000_000, 'megabyte'];
  const options = { style: 'unit', unit, maximumFractionDigits: value < 10 ? 1 : 0 } as const;
  return new Intl.NumberFormat(currentLanguage(), options).format(value);
}

export function listOf(names: readonly string[]): string {
  return new Intl.ListFormat(currentLanguage()).format(names);
}

/** Initials of the first and the last word of a name. */
export function initialsOf(name: string): string {
  const words = name.trim().split(/\s+/);
  const letters = words.length > 1 ? [words[0], words.at(-1)] : words;
  return letters
    .map((word) => [...(word ?? '')][0] ?? '')
    .join('')
    .toUpperCase();
}

function format(date: Date, options: Intl.DateTimeFormatOptions): string {
  return new Intl.DateTimeFormat(currentLanguage() === 'vi' ? 'vi-VN' : 'en-GB', options).format(date);
}
