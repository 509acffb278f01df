import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { after, describe, it } from 'node:test';
import { PNG } from '../../test/kit/uploads.ts';
import { MediaProcess } from './media.ts';

const CHILDREN = `/proc/self/task/${process.pid}/children`;
const skip = !existsSync(CHILDREN) && 'only Linux has a priority for each thread';

describe('the process that decodes images', { skip }, () => {
  const media = new MediaProcess();
  after(() => media.close());

  it('decodes in threads of a lower priority', async () => {
    const store = createServer((_, response) => void response.end(PNG)).listen(0, '127.0.0.1');
    await once(store, 'listening');
    const address = store.address();
    const url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}/`;
    const thumbnail = await media.createThumbnail(url, PNG.length).finally(() => store.close());
    assert.equal(thumbnail?.width, 1);
    const children = readFileSync(CHILDREN, 'utf8').trim().split(' ');
    const decoder = children.find((pid) =>
      readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('media-process'),
    );
    const threads = readdirSync(`/proc/${decoder}/task`).flatMap((thread) => statOf(decoder ?? '', thread));
    assert.ok(threads.some(({ name }) => name.includes('libuv')));
    for (const { name, nice } of threads) assert.equal(nice, 10, name);
  });
});

/** Name and priority of a thread; nothing if it has ended. */
function statOf(pid: string, thread: string): { name: string; nice: number }[] {
  const file = `/proc/${pid}/task/${thread}/stat`;
  if (!existsSync(file)) return [];
  const stat = readFileSync(file, 'utf8');
  const end = stat.lastIndexOf(')');
  return [{ name: stat.slice(stat.indexOf('('), end), nice: Number(stat.slice(end + 2).split(' ')[16]) }];
}
