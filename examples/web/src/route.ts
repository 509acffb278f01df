/** The part of the page that the address names: `#/c/2`, `#/c/2/m/33` or `#/c/2/t/33`. */
export type Route = {
  readonly channelId?: string;
  /** Message to show and highlight. */
  readonly messageId?: string;
  /** First message of the thread that is open beside the conversation. */
  readonly threadId?: string;
};

export function currentRoute(): Route {
  const [, channelId, kind, id] = /^#\/c\/(\d+)(?:\/([mt])\/(\d+))?$/.exec(location.hash) ?? [];
  if (channelId === undefined) return {};
  if (id === undefined) return { channelId };
  return kind === 'm' ? { channelId, messageId: id } : { channelId, threadId: id };
}

export function addressOf({ channelId, messageId, threadId }: Route): string {
  if (channelId === undefined) return '#/';
  if (messageId !== undefined) return `#/c/${channelId}/m/${messageId}`;
  return threadId === undefined ? `#/c/${channelId}` : `#/c/${channelId}/t/${threadId}`;
}

export function go(route: Route): void {
  location.hash = addressOf(route);
}
