/** A part of the page that follows the state of the session. */
export type View = {
  readonly element: HTMLElement;
  /** Shows the current state. */
  update(): void;
  close?(): void;
};
