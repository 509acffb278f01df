import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { ReservedSql } from 'postgres';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { SearchService } from '#gen/serp/discuss/v1/search_service_pb.ts';
import { type App, type As, app } from '../../test/kit/app.ts';
import { untilLocksAreAwaited } from '../../test/kit/locks.ts';
import { until } from '../../test/kit/until.ts';

type Connection = ReservedSql<{ bigint: bigint }>;

const MAX_WORDS = 200_000;

describe('the words of a tenant', () => {
  let the: App;
  let lastTenant = 0n;

  // Without the job, so that each test decides when it runs.
  before(async () => {
    the = await app({ SEARCH_INDEX_INTERVAL_MS: '0' });
  });
  after(() => the.close());

  const group = async (as: As) => {
    const { channel } = await the.client(ChannelService, as).createChannel({ name: 'Kho', private: true });
    return channel?.id ?? 0n;
  };
  /** A tenant with three groups. */
  const tenant = async () => {
    lastTenant += 1n;
    const as: As = { userId: 1n, tenantId: lastTenant };
    const groups = await Promise.all([group(as), group(as), group(as)]);
    const [channelId = 0n] = groups;
    const send = async (content: string) => {
      const { message } = await the.client(MessageService, as).sendMessage({ channelId, content });
      return message?.id ?? 0n;
    };
    const find = async (query: string) => {
      const { messages } = await the.client(SearchService, as).searchMessages({ query });
      return messages.map(({ snippet }) => snippet.map(({ text }) => text).join(''));
    };
    /** A message in one of the groups by plain SQL, which triggers index in its transaction. */
    const insert = (sql: Connection, content: string, place = 0) => sql`
      insert into messages (channel_id, sender_id, tenant_id, content, created_at, updated_at)
      values (${groups[place] ?? 0n}, 1, ${as.tenantId}, ${content}, 1, 1)
    `;
    return { ...as, send, find, insert };
  };
  const index = async () => {
    const [row] = await the.owner<{ events: number; lagMs: bigint | null }[]>`
      select events, lag_ms from index_messages(2000)
    `;
    return row;
  };
  /** Until the job may read all events: it waits for older transactions, also those of other databases. */
  const untilReadable = () =>
    until(async () => {
      const early = await the.owner`
        select from channel_events where xid >= pg_snapshot_xmin(pg_current_snapshot()) limit 1
      `;
      return early.length === 0;
    }, 'the end of older transactions');
  const indexAll = async () => {
    await untilReadable();
    return index();
  };
  const countOf = async (tenantId: bigint) => {
    const [row] = await the.owner<{ stored: number; counted: number }[]>`
      select max(words)::int as stored, (count(*) filter (where word != ''))::int as counted
      from search_words
      where tenant_id = ${tenantId}
    `;
    return [row?.stored, row?.counted];
  };
  /** Leaves room for so many words, as if all others had been used. */
  const leaveRoom = async (tenantId: bigint, words: number) => {
    await the.owner`
      insert into search_words (tenant_id, word, words)
      values (${tenantId}, '', ${MAX_WORDS - words})
      on conflict (tenant_id, word) do update set words = excluded.words
    `;
  };
  const connect = async () => {
    const connection = await the.owner.reserve();
    await connection`begin`;
    return connection;
  };
  const commit = async (connection: Connection) => {
    await connection`commit`;
    connection.release();
  };

  it('are counted once each', async () => {
    const { tenantId, send } = await tenant();
    await send('phiếu nhập phiếu xuất');
    await send('phiếu thanh toán');
    await indexAll();
    assert.deepEqual(await countOf(tenantId), [5, 5]);
    await send('phiếu nhập');
    await indexAll();
    assert.deepEqual(await countOf(tenantId), [5, 5]);
  });

  it('are looked up by key, also when the statistics are older than most words', async () => {
    const { tenantId, send } = await tenant();
    const words = (from: number, count: number) => the.owner`
      insert into search_words (tenant_id, word)
      select ${tenantId}, 'word' || n from generate_series(${from}::int, ${from + count - 1}) as n
    `;
    await words(1, 9);
    await the.owner`analyze search_words`;
    await words(10, 5_000);
    await send(Array.from({ length: 100 }, (_, nth) => `nhap${nth}`).join(' '));
    await untilReadable();
    const connection = await connect();
    await connection`select from index_messages(2000)`;
    const [row] = await connection<{ read: number }[]>`
      select (seq_tup_read + idx_tup_fetch)::int as read from pg_stat_xact_user_tables where relname = 'search_words'
    `;
    await commit(connection);
    assert.ok((row?.read ?? Infinity) < 1_000, `${row?.read} rows read`);
    assert.equal((await countOf(tenantId))[0], 100);
  });

  it('are limited; above, messages are found by whole words only, and other tenants are not affected', async () => {
    const { tenantId, send, find } = await tenant();
    const other = await tenant();
    await leaveRoom(tenantId, 2);
    await send('hanoi11 saigon11 danang11');
    await other.send('cantho11');
    await indexAll();
    assert.deepEqual(await countOf(tenantId), [MAX_WORDS, 2]);
    await send('vinhlong11');
    await indexAll();
    assert.deepEqual(await countOf(tenantId), [MAX_WORDS, 2]);
    assert.deepEqual(await find('vinhlong11'), ['vinhlong11']);
    assert.deepEqual(await find('nhlong'), []);
    assert.deepEqual(await other.find('ntho1'), ['cantho11']);
  });

  it('do not exceed the limit when transactions add different ones at the same time', async () => {
    const { tenantId, insert } = await tenant();
    await leaveRoom(tenantId, 30);
    const [first, ...others] = await Promise.all([connect(), connect(), connect()]);
    const wordsOf = (writer: number) =>
      Array.from({ length: 20 }, (_, nth) => `w${writer}${nth}zzzz`).join(' ');
    await insert(first, wordsOf(0), 0);
    const waiting = others.map(async (connection, index) => {
      await insert(connection, wordsOf(index + 1), index + 1);
      await commit(connection);
    });
    await untilLocksAreAwaited(the, 2);
    await commit(first);
    await Promise.all(waiting);
    assert.deepEqual(await countOf(tenantId), [MAX_WORDS, 30]);
  });

  it('may be written in different orders by transactions at the same time', async () => {
    const { tenantId, insert } = await tenant();
    await leaveRoom(tenantId, 100);
    const [first, second] = await Promise.all([connect(), connect()]);
    await insert(first, 'muoimot');
    const waiting = insert(second, 'muoihai', 1).then(() => insert(second, 'muoimot', 1));
    await untilLocksAreAwaited(the, 1);
    await insert(first, 'muoihai');
    await commit(first);
    await waiting;
    await commit(second);
    assert.deepEqual(await countOf(tenantId), [MAX_WORDS - 98, 2]);
  });

  it('are indexed later when another transaction has locked a row, which it does not disturb', async () => {
    const { tenantId, send, insert, find } = await tenant();
    const id = await send('lechtau');
    await untilReadable();
    const connection = await connect();
    await insert(connection, 'trunghang', 1);
    // The job has the row of the message and waits for the row of the words; the transaction locks them in the other order.
    const blocked = index();
    await Promise.race([untilLocksAreAwaited(the, 1), blocked]);
    await connection`update messages set content = 'lechtau doi' where id = ${id}`;
    const row = await blocked;
    assert.equal(row?.events, 0);
    assert.ok((row?.lagMs ?? -1n) >= 0n, 'the delay stays visible');
    await commit(connection);
    assert.ok(((await indexAll())?.events ?? 0) > 0);
    assert.deepEqual(await find('lechtau doi'), ['lechtau doi']);
    assert.deepEqual(await countOf(tenantId), [2, 2]);
  });
});
