// Runs the tests of the page in Chromium, or states why there is none. Only a failed test is an error.
import { openChromium } from './lib/chromium.ts';

const UNPACK_MS = 30_000;

const reason = await openChromium(console.log, AbortSignal.timeout(UNPACK_MS)).then(
  () => undefined,
  ({ message, cause }: Error) => [message, cause].filter((part) => part !== undefined).join(': '),
);
if (reason === undefined) {
  process.argv.push('test/browser');
  await import('./test.ts');
} else {
  console.log(`The tests in a browser were not run: ${reason}`);
}
