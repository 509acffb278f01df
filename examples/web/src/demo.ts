/** What the server of this page knows: a real one would have an identity provider instead. */
export type DemoUser = {
  readonly id: string;
  readonly name: string;
  readonly title: { readonly vi: string; readonly en: string };
};

export type Demo = {
  readonly webUrl: string;
  readonly users: readonly DemoUser[];
  /** Users of the tenant without a card on the sign-in page. */
  readonly others: readonly { readonly id: string; readonly name: string }[];
};

const STORED = 'user';

export async function readDemo(): Promise<Demo> {
  const response = await fetch('config.json');
  return response.json();
}

/** Signs a token for a user, as an identity provider does for a session. */
export async function fetchToken(user: DemoUser): Promise<string> {
  const response = await fetch('token', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ userId: user.id }),
  });
  if (!response.ok) throw new Error(`The demo issues no token: ${response.status}`);
  return response.text();
}

/** The user of this tab, also after a reload: `?user=101`, or as chosen. */
export function signedIn({ users }: Demo): DemoUser | undefined {
  const wanted = new URLSearchParams(location.search).get('user') ?? sessionStorage.getItem(STORED);
  return users.find(({ id }) => id === wanted);
}

export function signIn(user: DemoUser): void {
  sessionStorage.setItem(STORED, user.id);
}

export function signOut(): void {
  sessionStorage.removeItem(STORED);
  location.assign(location.pathname);
}
