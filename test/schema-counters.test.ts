// The counters that triggers and settle_unread() maintain, including cases in which the document's triggers are wrong.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, beforeEach, describe, it } from 'node:test';
import postgres from 'postgres';
import { types } from '../src/db/types.ts';
import { sendMessages } from '../src/message/send-sql.ts';
import { type FreshDatabase, freshDatabase } from './kit/database.ts';
import { createRandom } from './kit/random.ts';

const TENANT = 1;

type Stats = {
  memberCount: number;
  messageCount: number;
  lastMessageAt: string | null;
  postSeq: string;
  lastMessageId: string | null;
  unreadVersion: string;
};

describe('counters', () => {
  let database: FreshDatabase;
  let sql: postgres.Sql;
  let channel: string;

  before(async () => {
    database = await freshDatabase();
    sql = postgres(database.ownerUrl, { max: 6, onnotice() {} });
  });
  after(async () => {
    await sql.end();
    await database.close();
  });
  beforeEach(async () => {
    channel = await makeChannel();
    await join(channel, 10);
    await join(channel, 11);
  });

  it('count members through leaving, muting, removal and rejoining, MUTED ones included', async () => {
    const seen: unknown[] = [(await read()).memberCount];
    for (const status of ['LEFT', 'ACTIVE', 'MUTED', 'REMOVED', 'ACTIVE']) {
      await sql`update channel_members set status = ${status} where channel_id = ${channel} and user_id = 11`;
      seen.push((await read()).memberCount);
    }
    await sql`update channel_members set status = 'LEFT' where channel_id = ${channel}`;
    seen.push((await read()).memberCount);
    await sql`delete from channel_members where channel_id = ${channel} and user_id = 11`;
    seen.push((await read()).memberCount);
    assert.deepEqual(seen, [2, 1, 2, 2, 1, 2, 0, 0]);
  });

  it('never decrease last_message_at', async () => {
    await post(channel, 10, 'mới', 2_000_000_000_000);
    await post(channel, 10, 'cũ, nhập sau', 1_000);
    const { lastMessageAt, messageCount, postSeq } = await read();
    assert.deepEqual([lastMessageAt, messageCount, postSeq], ['2000000000000', 2, '2']);
  });

  it('update a channel once per batch of messages', async () => {
    const pool = postgres(database.ownerUrl, { max: 1, types });
    const item = {
      ...{
        tenantId: BigInt(TENANT),
        userId: 10n,
        userName: '',
        isManager: false,
        channelId: BigInt(channel),
      },
      ...{ payloadHash: Buffer.alloc(0), type: 'TEXT', content: 'x', mentions: [], mentionScope: null },
      ...{ parentId: 0n, alsoInChannel: false, metadata: null, attachments: [], fileNames: '' },
      ...{ payload: Buffer.alloc(200), seqOffset: 0, messageOffset: 60 },
    };
    const items = Array.from({ length: 50 }, () => ({ ...item, requestId: randomUUID() }));
    await sendMessages(pool, items, true);
    await pool.end();
    const { messageCount, lastMessageAt, unreadVersion } = await read();
    const [last] = await sql<{ at: string }[]>`
      select max(created_at) as at from messages where channel_id = ${channel}
    `;
    assert.deepEqual([messageCount, lastMessageAt, unreadVersion], [50, last?.at, '1']);
  });

  it('subtract removed rows, and leave no row of a removed channel', async () => {
    await post(channel, 10, 'một');
    await post(channel, 10, 'hai');
    await sql`delete from messages where channel_id = ${channel} and content = 'hai'`;
    assert.equal((await read()).messageCount, 1);
    await sql`delete from channels where id = ${channel}`;
    const [left] = await sql`
      select
        (select count(*)::int from messages where channel_id = ${channel}) as messages,
        (select count(*)::int from channel_members where channel_id = ${channel}) as members,
        (select count(*)::int from deleted_posts where channel_id = ${channel}) as deleted
    `;
    assert.deepEqual({ ...left }, { messages: 0, members: 0, deleted: 0 });
  });

  it('number messages that have no number, and reject an id below the last one', async () => {
    const first = await post(channel, 10, 'một');
    const second = await post(channel, 11, 'hai');
    assert.deepEqual([first.postSeq, second.postSeq, (await read()).lastMessageId], ['1', '2', second.id]);
    const late = sql`
      insert into messages (id, channel_id, sender_id, tenant_id, content, created_at, updated_at)
      values (${String(BigInt(second.id) - 1n)}, ${channel}, 10, ${TENANT}, 'trễ', 1, 1)
    `;
    await assert.rejects(late, { code: '40001' });
    const nowhere = sql`
      insert into messages (channel_id, sender_id, tenant_id, content, created_at, updated_at)
      values (987654321, 10, ${TENANT}, 'đâu', 1, 1)
    `;
    await assert.rejects(nowhere, { code: '23503', constraint_name: 'messages_channel_id_fkey' });
    const orphan = sql`
      insert into messages (channel_id, sender_id, tenant_id, content, parent_id, created_at, updated_at)
      values (${channel}, 10, ${TENANT}, 'đâu', 987654321, 1, 1)
    `;
    await assert.rejects(orphan, { code: '23503', constraint_name: 'messages_parent_id_fkey' });
  });

  it('keep unread counts exact after retention removes the row of a deleted message', async () => {
    await post(channel, 10, 'một');
    const gone = await post(channel, 10, 'hai');
    await sql`update messages set is_deleted = true, deleted_at = 1 where id = ${gone.id}`;
    assert.equal(await unread(channel, 11), 1);
    await sql`delete from messages where id = ${gone.id}`;
    assert.equal(await unread(channel, 11), 1);
    await sql`delete from messages where channel_id = ${channel}`;
    assert.equal(await unread(channel, 11), 0);
  });

  it('write no row of channel_members for a message that has its number', async () => {
    const states = () => sql`
      select user_id, xmin::text, ctid::text from channel_members where channel_id = ${channel} order by user_id
    `;
    const before = await states();
    await sql`
      insert into messages (channel_id, sender_id, tenant_id, content, created_at, updated_at, post_seq)
      values (${channel}, 10, ${TENANT}, 'x', 1, 1, 1)
    `;
    assert.deepEqual([...(await states())], [...before]);
  });

  it('settle stored unread counts in bounded steps until none is left', async () => {
    for (const user of [12, 13, 14]) await join(channel, user);
    await settleAll();
    await post(channel, 10, 'một');
    const steps = [await settle(3), await settle(3), await settle(3)];
    assert.deepEqual(steps, [3, 1, 0]);
    const [state] = await sql`
      select unread_version = settled_version as settled from channels where id = ${channel}
    `;
    assert.equal(state?.['settled'], true);
  });

  it('leave a channel unsettled while a member is locked, without waiting', async () => {
    await settleAll();
    await post(channel, 10, 'một');
    await sql.begin(async (other) => {
      await other`select from channel_members where channel_id = ${channel} and user_id = 11 for update`;
      assert.equal(await settle(100), 0);
    });
    assert.equal(await settle(100), 1);
    assert.equal(await settle(100), 0);
  });

  it('settle to the counted values after random concurrent changes', async () => {
    const random = createRandom(20_261_122);
    console.log(`# seed ${random.seed}`);
    const channels = [channel, await makeChannel(), await makeChannel()];
    for (const each of channels.slice(1)) for (const user of [10, 11]) await join(each, user);
    for (const each of channels) for (const user of [12, 13]) await join(each, user);
    const worker = async () => {
      for (let step = 0; step < 120; step += 1) await act(random.pick(channels), random);
    };
    await Promise.all([worker(), worker(), worker(), worker()]);
    const wrong = () => sql`
      select m.channel_id, m.user_id, m.unread_count as stored, u.unread_count as shown, b.unread as counted
      from channel_members m
      left join user_channels u on u.channel_id = m.channel_id and u.user_id = m.user_id
      cross join lateral (
        select count(*)::int as unread
        from messages x
        where x.channel_id = m.channel_id and x.post_seq > m.read_post_seq and x.sender_id != m.user_id
          and not x.is_deleted
      ) as b
      where m.channel_id in ${sql(channels)}
        and m.status = 'ACTIVE'
        and (u.unread_count is distinct from b.unread or m.unread_count != b.unread)
    `;
    assert.deepEqual(
      (await wrong()).filter((row) => row['shown'] !== row['counted']),
      [],
    );
    await settleAll();
    assert.deepEqual([...(await wrong())], []);
  });

  async function act(where: string, random: ReturnType<typeof createRandom>): Promise<void> {
    const what = random.below(100);
    const user = 10 + random.below(4);
    const nth = random.below(1_000);
    if (what < 3) {
      await settle(2 + random.below(5));
      return;
    }
    await sql.begin(async (tx) => {
      await tx`select from channels where id = ${where} for no key update`;
      if (what < 45) {
        await tx`
          insert into messages (channel_id, sender_id, tenant_id, content, created_at, updated_at)
          values (${where}, ${user}, ${TENANT}, 'x', now_ms(), now_ms())
        `;
      } else if (what < 60) {
        await tx`
          update messages set is_deleted = ${random.below(4) > 0}
          where id = (select id from messages where channel_id = ${where} order by id offset ${nth % 50} limit 1)
        `;
      } else if (what < 68) {
        await tx`
          delete from messages
          where id = (select id from messages where channel_id = ${where} order by id offset ${nth % 50} limit 1)
        `;
      } else if (what < 90) {
        await tx`
          update channel_members m
          set read_post_seq = t.post_seq,
              own_posts_read = m.own_posts
                - (select count(*) from messages x where x.channel_id = m.channel_id and x.sender_id = m.user_id
                    and x.post_seq > t.post_seq and not x.is_deleted)
                - (select count(*) from deleted_posts d where d.channel_id = m.channel_id and d.sender_id = m.user_id
                    and d.post_seq > t.post_seq)
          from (select (post_seq * ${nth} / 1000)::bigint as post_seq from channels where id = ${where}) as t
          where m.channel_id = ${where} and m.user_id = ${user}
        `;
      } else {
        const status = random.pick(['ACTIVE', 'LEFT', 'ACTIVE', 'MUTED']);
        await tx`update channel_members set status = ${status} where channel_id = ${where} and user_id = ${user}`;
      }
    });
  }

  async function makeChannel(): Promise<string> {
    const [row] = await sql<{ id: string }[]>`
      insert into channels (tenant_id, created_by, name, type, created_at, updated_at)
      values (${TENANT}, 10, 'Kho', 'GROUP', 1, 1)
      returning id
    `;
    return row?.id ?? assert.fail();
  }

  async function join(where: string, user: number): Promise<void> {
    await sql`
      insert into channel_members (channel_id, user_id, tenant_id, joined_at, created_at, updated_at)
      values (${where}, ${user}, ${TENANT}, 1, 1, 1)
    `;
  }

  async function post(where: string, user: number, content: string, createdAt = Date.now()) {
    const [row] = await sql<{ id: string; postSeq: string }[]>`
      insert into messages (channel_id, sender_id, tenant_id, content, created_at, updated_at)
      values (${where}, ${user}, ${TENANT}, ${content}, ${createdAt}, ${createdAt})
      returning id, post_seq as "postSeq"
    `;
    return row ?? assert.fail();
  }

  async function read() {
    const [row] = await sql<Stats[]>`
      select
        member_count as "memberCount", message_count as "messageCount", last_message_at as "lastMessageAt",
        post_seq as "postSeq", last_message_id as "lastMessageId", unread_version as "unreadVersion"
      from channels
      where id = ${channel}
    `;
    return row ?? assert.fail();
  }

  async function unread(where: string, user: number): Promise<number> {
    const [row] = await sql<{ shown: number }[]>`
      select unread_count as shown from user_channels where channel_id = ${where} and user_id = ${user}
    `;
    return row?.shown ?? assert.fail();
  }

  async function settle(limit: number): Promise<number> {
    const [row] = await sql<{ settled: number }[]>`select settle_unread(${limit}) as settled`;
    return row?.settled ?? assert.fail();
  }

  async function settleAll(): Promise<void> {
    for (let round = 0; round < 100; round += 1) {
      await settle(50);
      const [row] =
        await sql`select count(*)::int as left from channels where unread_version != settled_version`;
      if (row?.['left'] === 0) return;
    }
    assert.fail('still unsettled after 100 calls');
  }
});
