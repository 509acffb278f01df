import { readFileSync, writeFileSync } from 'node:fs';
import { listSettings } from '../../src/config.ts';

const README = 'README.md';
const TABLE = /(?<=<!-- settings: begin -->\n)[\s\S]*(?=<!-- settings: end -->)/;

/** Writes the table of settings to the README. */
export function writeSettingsTable(): void {
  writeFileSync(README, withTable());
}

/** Whether the README has the table that `writeSettingsTable` writes. */
export function isSettingsTableFresh(): boolean {
  return readFileSync(README, 'utf8') === withTable();
}

function withTable(): string {
  const text = readFileSync(README, 'utf8');
  if (!TABLE.test(text)) throw new Error(`${README} has no place for the table of settings`);
  const rows = listSettings().map(
    (setting) => `| ${setting.name} | ${setting.default} | ${setting.meaning} |`,
  );
  return text.replace(
    TABLE,
    () => `${['| name | default | meaning |', '|---|---|---|', ...rows].join('\n')}\n`,
  );
}
