import { h } from '../dom.ts';
import { textOf } from '../errors.ts';

const SHOWN_MS = 6_000;

const region = h('div', { class: 'toasts', role: 'status', 'aria-live': 'polite' });

/** Shows an error for some seconds. */
export function showError(error: unknown): void {
  if (!region.isConnected) document.body.append(region);
  const toast = h('p', { class: 'toast' }, textOf(error));
  region.append(toast);
  setTimeout(() => toast.remove(), SHOWN_MS);
}

/** Runs a call of the user, and shows why it failed. */
export async function attempt(work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    showError(error);
    return false;
  }
}
