import { app as startApp } from './app.ts';
import { FaultProxy } from './fault-proxy.ts';

/** An app whose second instance reaches PostgreSQL through a proxy. */
export async function startBehindProxy(settings: Readonly<Record<string, string>>) {
  const app = await startApp();
  const url = new URL(app.database.serviceUrl);
  const proxy = await FaultProxy.open(Number(url.port), false);
  url.port = `${proxy.port}`;
  await app.start({ DATABASE_URL: url.href, ...settings });
  return {
    app,
    proxy,
    async [Symbol.asyncDispose]() {
      await app.close();
      await proxy.close();
    },
  };
}
