import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type Listening, listen } from '../../src/telemetry/address.ts';

type Received = {
  readonly authorization: string | undefined;
  readonly tenantId: string;
  readonly userIds: readonly string[];
};

/** A directory of users, as the service expects it behind DIRECTORY_URL, with faults on request. */
export class FakeDirectory {
  readonly received: Received[] = [];
  /** `tenant:user` of every user. */
  readonly #users: ReadonlySet<string>;
  #listening: Listening | undefined;
  #address = '127.0.0.1:0';
  /** Responds instead of the directory; the response of a request that it ignores never ends. */
  fault: ((response: ServerResponse) => void) | undefined;

  private constructor(users: readonly string[]) {
    this.#users = new Set(users);
  }

  static async open(users: readonly string[]): Promise<FakeDirectory> {
    const directory = new FakeDirectory(users);
    await directory.start();
    return directory;
  }

  get url(): string {
    return `http://${this.#address}/users/find`;
  }

  /** Starts it again at the same address. */
  async start(): Promise<void> {
    const server = createServer((request, response) => void this.#serve(request, response));
    this.#listening = await listen(server, this.#address);
    this.#address = this.#listening.address;
  }

  async stop(): Promise<void> {
    await this.#listening?.close();
    this.#listening = undefined;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const body: { tenantId: string; userIds: string[] } = JSON.parse(Buffer.concat(chunks).toString());
    this.received.push({ authorization: request.headers.authorization, ...body });
    if (this.fault !== undefined) return this.fault(response);
    const userIds = body.userIds.filter((id) => this.#users.has(`${body.tenantId}:${id}`));
    response.end(JSON.stringify({ userIds }));
  }
}
