import { isTemporary } from '@serp/discuss-client/retry';
import { Chat } from './chat.ts';
import { type DemoUser, readDemo, signedIn } from './demo.ts';
import { fill, h } from './dom.ts';
import { textOf } from './errors.ts';
import { t } from './i18n.ts';
import { shellView } from './views/shell.ts';
import { signInView } from './views/sign-in.ts';

const RETRY_MS = 2_000;

await start();

async function start(): Promise<void> {
  const demo = await retried(readDemo);
  const user = signedIn(demo);
  if (user !== undefined) return open(user);
  const show = () => fill(document.body, [signInView(demo, (chosen) => void open(chosen), show)]);
  show();

  async function open(chosen: DemoUser): Promise<void> {
    fill(document.body, [h('p', { class: 'placeholder', role: 'status' }, t('loading'))]);
    showChat(await retried(() => Chat.open(chosen, demo)));
  }
}

function showChat(chat: Chat): void {
  let shell = shellView(chat, show);
  chat.subscribe(() => shell.update());
  for (const name of ['online', 'focus'] as const) globalThis.addEventListener(name, () => chat.wake());
  document.addEventListener('visibilitychange', () => shell.update());
  fill(document.body, [shell.element]);
  shell.update();

  /** Shows everything again, in the chosen language. */
  function show(): void {
    shell.close?.();
    shell = shellView(chat, show);
    fill(document.body, [shell.element]);
    shell.update();
  }
}

/** Repeats what the page cannot begin without. */
async function retried<T>(work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      fill(document.body, [
        h(
          'p',
          { class: 'placeholder', role: 'alert' },
          isTemporary(error) ? t('reconnecting') : textOf(error),
        ),
      ]);
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}
