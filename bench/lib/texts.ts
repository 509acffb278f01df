import { readDeclarations } from '../../scripts/demo/declaration.ts';

const lines = readDeclarations().flatMap((text) => text.lines);

/** Real messages in several languages, 115 characters on average. */
export function textAt(index: number): string {
  return lines[index % lines.length] ?? '';
}
