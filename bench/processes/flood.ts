// Sends without pause, whatever the responses. A separate process, so that no figure includes the sender's cost.
import { serveCommands } from '../../scripts/lib/child.ts';
import { authorization, EncodedMessage, GrpcClient } from '../lib/grpc-client.ts';
import { textAt } from '../lib/texts.ts';

export type FloodCommands = typeof commands;

export type Flood = {
  readonly address: string;
  readonly channelId: string;
  readonly tokens: readonly string[];
  readonly inFlight: number;
};

let flooding: { readonly done: Promise<unknown>; readonly client: GrpcClient } | undefined;
let stopped = false;
let [sent, rejected] = [0, 0];

const commands = {
  start({ address, channelId, tokens, inFlight }: Flood): void {
    stopped = false;
    const client = new GrpcClient(address);
    const callers = tokens.map((token, index) => {
      const message = new EncodedMessage(BigInt(channelId), textAt(index));
      return { metadata: authorization(token), message: () => message };
    });
    const senders = Array.from({ length: inFlight }, async (_, index) => {
      const caller = callers[index % callers.length];
      while (caller !== undefined && !stopped) {
        await client.send(index, caller).then(
          () => {
            sent += 1;
          },
          () => {
            rejected += 1;
          },
        );
      }
    });
    flooding = { done: Promise.all(senders), client };
  },

  /** Numbers of messages posted and rejected. */
  async stop(): Promise<{ sent: number; rejected: number }> {
    stopped = true;
    await flooding?.done;
    flooding?.client[Symbol.dispose]();
    const counts = { sent, rejected };
    [sent, rejected] = [0, 0];
    return counts;
  },
};

process.once('SIGTERM', () => process.exit());
serveCommands(commands);
