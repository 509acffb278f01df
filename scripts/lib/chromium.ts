import { findProgram, type Program, unpackProgram, type Wanted } from './debian-program.ts';

const CHROMIUM: Wanted = {
  alternatives: [
    { name: 'chromium-headless-shell', package: 'chromium-headless-shell' },
    { name: 'chromium', package: 'chromium' },
  ],
  // The programs in `bin` are scripts with absolute paths.
  folders: ['lib/chromium'],
  probe: '--version',
  folder: 'chromium',
  missing: 'there is no Chromium on PATH, and the package of the distribution could not be unpacked',
};

export async function openChromium(report: (line: string) => void, signal?: AbortSignal): Promise<Program> {
  return findProgram(CHROMIUM) ?? (await unpackProgram(CHROMIUM, report, signal));
}
