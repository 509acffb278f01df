import { generate } from './lib/generate.ts';
import { writeSettingsTable } from './lib/settings-table.ts';

generate('.');
writeSettingsTable();
