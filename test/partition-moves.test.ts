// Rows that went to a default partition are moved while callers go on writing: they neither wait for it nor lose anything.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { AdminService } from '#gen/serp/discuss/v1/admin_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app, CONCURRENT } from './kit/app.ts';
import { assertNothingToRepair } from './kit/reconcile.ts';
import { until } from './kit/until.ts';

const ana: As = { userId: 1n, tenantId: 1n };
const operator: As = { userId: 7n, tenantId: 0n, roles: ['discuss.admin'] };
const FIRST = 300_000_000n;
const ROWS = 30_000;

describe('moving rows out of a default partition', () => {
  let the: App;
  let channelId = 0n;

  before(async () => {
    the = await app({ ...CONCURRENT, MAINTENANCE_INTERVAL_MS: '0' });
    const { channel } = await the.client(ChannelService, ana).createChannel({ name: 'Kho' });
    channelId = channel?.id ?? 0n;
    // As an import writes them, with their numbers, so that no trigger counts each of them.
    await the.owner.unsafe(`
      select setval('messages_id_seq', ${FIRST + BigInt(ROWS)});
      insert into messages
        (id, channel_id, sender_id, tenant_id, content, created_at, updated_at, post_seq, event_seq)
      select ${FIRST} + i, c.id, 1, 1, 'tin ' || i, now_ms(), now_ms(), c.post_seq + i, 1
      from channels c, generate_series(1, ${ROWS}) as i
      where c.id = ${channelId};
      update channel_members set own_posts = own_posts + ${ROWS} where channel_id = ${channelId};
      update channels
      set post_seq = post_seq + ${ROWS}, message_count = ${ROWS}, last_message_id = ${FIRST + BigInt(ROWS)}
      where id = ${channelId};
    `);
  });
  after(() => the.close());

  const messages = () => the.client(MessageService, ana);
  const old = (i: number) => FIRST + BigInt(i);
  const homes = () =>
    the.owner<{ name: string; rows: bigint }[]>`
      select tableoid::regclass::text as name, count(*) as rows
      from messages
      where id > ${FIRST}
      group by 1
    `;

  it('loses, repeats and reorders nothing of what is written meanwhile, and continues after a crash', async () => {
    const sent: bigint[] = [];
    const edited: bigint[] = [];
    const deleted: bigint[] = [];
    const marked: bigint[] = [];
    let isMoving = true;
    const repeat = async (change: (i: number) => Promise<unknown>) => {
      for (let i = 1; isMoving && i < ROWS; i += 1) await change(i);
    };
    // Each writer changes rows from the first to the last blocks, before and after they are copied.
    const writers = [
      ...[1, 2].map(() =>
        repeat(async () => {
          const { message } = await messages().sendMessage({ channelId, content: 'mới' });
          sent.push(message?.id ?? 0n);
        }),
      ),
      repeat(async (i) => {
        const messageId = old(((i * 701) % (ROWS / 10)) * 10 + 1);
        const content = `sửa ${messageId}`;
        await messages().editMessage({ channelId, messageId, content, updateMask: { paths: ['content'] } });
        edited.push(messageId);
      }),
      repeat(async (i) => {
        const messageId = old(((i * 709) % (ROWS / 10)) * 10 || 10);
        await messages().deleteMessage({ channelId, messageId });
        deleted.push(messageId);
      }),
      repeat(async (i) => {
        // None that the others change: they lock the channel first, and plain SQL the message.
        const messageId = old(((i * 719) % (ROWS / 10)) * 10 + 5);
        await the.owner`update messages set metadata = '{"is_marked": true}' where id = ${messageId}`;
        marked.push(messageId);
      }),
    ].map((writer) => writer.catch((error) => error));

    await until(() => sent.length > 5);
    const ensure = async () => (await the.owner`select ensure_partitions()`).length;
    // A process that ends after some batches leaves what they committed, and the next call continues.
    await until(async () => {
      await ensure();
      const [move] = await the.owner<{ nextBlock: bigint; blocks: bigint }[]>`
        select next_block, blocks from partition_moves where parent = 'messages'
      `;
      return move !== undefined && move.nextBlock > 0n && move.nextBlock < move.blocks;
    });
    const created: string[] = [];
    await until(async () => {
      created.push(...(await the.client(AdminService, operator).ensurePartitions({})).createdPartitions);
      return created.includes('messages_p000011');
    });
    const count = sent.length;
    await until(() => sent.length > count + 5);
    isMoving = false;
    assert.deepEqual(
      (await Promise.all(writers)).filter((error) => error !== undefined),
      [],
    );

    const rows = await the.owner<{ id: bigint; content: string; isDeleted: boolean; marked: boolean }[]>`
      select id, content, is_deleted, metadata is not null as marked
      from messages
      where channel_id = ${channelId} and id > ${FIRST}
      order by post_seq
    `;
    const ids = rows.map(({ id }) => id);
    assert.deepEqual(ids, [
      ...Array.from({ length: ROWS }, (_, i) => old(i + 1)),
      ...sent.toSorted((a, b) => Number(a - b)),
    ]);
    const found = new Map(rows.map((row) => [row.id, row]));
    for (const id of deleted) assert.equal(found.get(id)?.isDeleted, true, `${id}`);
    for (const id of marked) assert.equal(found.get(id)?.marked, true, `${id}`);
    for (const id of edited) assert.equal(found.get(id)?.content, `sửa ${id}`);
    assert.deepEqual(
      (await homes()).map(({ name }) => name),
      ['messages_p000011'],
    );
    assert.equal((await the.owner`select from moving_partitions()`).length, 0);
    await assertNothingToRepair(the);
  });
});
