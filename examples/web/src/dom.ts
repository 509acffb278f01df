export type Child = Node | string | undefined | false;

const EVENTS = [
  'click',
  'focusin',
  'input',
  'keydown',
  'pointerdown',
  'pointerleave',
  'pointerover',
  'scroll',
] as const;

type EventName = (typeof EVENTS)[number];

type Listeners = { readonly [K in EventName]?: (event: HTMLElementEventMap[K]) => void };

type Attributes = {
  readonly on?: Listeners;
  readonly [name: string]: string | number | boolean | undefined | Listeners;
};

/** Creates an element. Strings become text nodes: nothing on this page is ever parsed as HTML. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  const { on = {}, ...others } = attributes;
  for (const [name, value] of Object.entries(others)) {
    if (value === undefined || value === false || typeof value === 'object') continue;
    element.setAttribute(name, value === true ? '' : `${value}`);
  }
  for (const name of EVENTS) listen(element, name, on[name]);
  fill(element, children);
  return element;
}

function listen<K extends EventName>(element: HTMLElement, name: K, listener: Listeners[K]): void {
  if (listener !== undefined) element.addEventListener(name, listener);
}

/** Replaces the content of an element. */
export function fill(element: Element, children: readonly Child[]): void {
  element.replaceChildren(...children.filter((child) => child !== undefined && child !== false));
}

/** Gives an element these children, and leaves those that are at their place untouched, with focus and selection. */
export function reconcile(parent: Element, wanted: readonly Node[]): void {
  const kept = new Set(wanted);
  for (const child of [...parent.childNodes]) if (!kept.has(child)) child.remove();
  let next = parent.firstChild;
  for (const child of wanted) {
    if (child === next) next = next.nextSibling;
    else parent.insertBefore(child, next);
  }
}

/** Elements by key, each of which is created again only when its signature changes. */
export class ElementCache<T extends Element> {
  #entries = new Map<string, { signature: string; element: T }>();
  #used = new Map<string, { signature: string; element: T }>();

  get(key: string, signature: string, make: () => T): T {
    const known = this.#entries.get(key);
    const entry = known?.signature === signature ? known : { signature, element: make() };
    this.#used.set(key, entry);
    return entry.element;
  }

  /** Forgets the elements that were not used since the last call. */
  sweep(): void {
    this.#entries = this.#used;
    this.#used = new Map();
  }
}

/** Calls `work` once after any number of requests. */
export function debounced(work: () => void, ms = 0): () => void {
  let isScheduled = false;
  return () => {
    if (isScheduled) return;
    isScheduled = true;
    setTimeout(() => {
      isScheduled = false;
      work();
    }, ms);
  };
}
