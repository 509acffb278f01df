// A message alone and a message in a batch are inserted by different functions.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import postgres from 'postgres';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { type App, type As, app } from '../../test/kit/app.ts';
import { assertNothingToRepair } from '../../test/kit/reconcile.ts';
import { type Pool, types } from '../db/types.ts';
import { PLACEHOLDER_ID, placeholderTime, toPatchable } from '../event/log/wire.ts';
import { type SendItem, sendMessages } from './send-sql.ts';

const ana: As = { userId: 1n, tenantId: 1n };
const metadata = JSON.stringify({ mã: 'PO-1 "\\', n: [1, null] });

describe('a message sent alone', () => {
  let the: App;
  let sql: Pool;
  const channels = new Map<string, bigint>();

  before(async () => {
    the = await app();
    sql = postgres(the.database.serviceUrl, { max: 1, types, fetch_types: false, transform: postgres.camel });
    for (const name of ['alone', 'batch', 'archived', 'deleted', 'other']) {
      const request = { name, private: true, memberUserIds: [2n] };
      const { channel } = await the.client(ChannelService, ana).createChannel(request);
      channels.set(name, channel?.id ?? 0n);
    }
    const id = (name: string) => channels.get(name) ?? 0n;
    await the.client(ChannelService, ana).archiveChannel({ channelId: id('archived') });
    await the.client(ChannelService, ana).deleteChannel({ channelId: id('deleted') });
    await the.owner`update channel_members set status = 'MUTED' where user_id = 2`;
  });
  after(async () => {
    await sql.end();
    await the.close();
  });

  const toItem = (channel: string, rest: Partial<SendItem> = {}): SendItem => {
    const channelId = channels.get(channel) ?? 999n;
    const message = {
      id: PLACEHOLDER_ID,
      position: PLACEHOLDER_ID,
      createTime: placeholderTime,
      content: 'x',
    };
    const change = { case: 'messageCreated' as const, value: { message: { ...message, channelId } } };
    const { payload, ...offsets } = toPatchable({ channelId, actorId: rest.userId ?? 1n, change });
    return {
      ...{ tenantId: 1n, userId: 1n, userName: 'An', isManager: false, channelId },
      ...{ requestId: randomUUID(), payloadHash: Buffer.alloc(32, 7) },
      ...{ type: 'TEXT', content: 'x', mentions: [], mentionScope: null, parentId: 0n },
      ...{ alsoInChannel: false, metadata, payload, ...offsets, attachments: [], fileNames: '', ...rest },
    };
  };
  const reasonOf = async (items: SendItem[], isWaiting: boolean) =>
    (await sendMessages(sql, items, isWaiting)).find(({ item }) => item === 0)?.errorReason;

  it('has the same outcome as in a batch', async () => {
    const used = toItem('other');
    await sendMessages(sql, [used], false);
    const cases: readonly [SendItem, string | null][] = [
      [toItem('other'), null],
      [toItem('other', { isManager: true, userId: 0n }), null],
      [toItem('other', { requestId: used.requestId }), 'REPEATED'],
      [toItem('other', { userId: 2n }), 'MEMBER_MUTED'],
      [toItem('other', { userId: 3n }), 'CHANNEL_NOT_FOUND'],
      [toItem('other', { tenantId: 2n }), 'CHANNEL_NOT_FOUND'],
      [toItem('archived'), 'CHANNEL_ARCHIVED'],
      [toItem('deleted'), 'CHANNEL_NOT_FOUND'],
      [toItem('missing'), 'CHANNEL_NOT_FOUND'],
    ];
    for (const [item, reason] of cases)
      for (const isWaiting of [false, true]) {
        const copy = () => ({ ...item, requestId: reason === 'REPEATED' ? item.requestId : randomUUID() });
        assert.equal(await reasonOf([copy()], isWaiting), reason);
        assert.equal(await reasonOf([copy(), toItem('other')], isWaiting), reason);
      }
  });

  it('leaves the same rows as in a batch', async () => {
    const rowsOf = async (channel: string) => {
      const id = channels.get(channel) ?? 0n;
      const rows = await the.owner<{ row: string }[]>`
        select (to_jsonb(m) - array['id', 'channel_id', 'created_at', 'updated_at'])::text as row
        from messages m where m.channel_id = ${id}
        union all
        select (to_jsonb(e) - array['id', 'xid', 'channel_id', 'message_id', 'created_at', 'payload'])::text
          || case when e.kind = 'MESSAGE_CREATED' then length(e.payload)::text else '' end
        from channel_events e where e.channel_id = ${id}
        union all
        select jsonb_build_array(
          c.event_seq, c.post_seq, c.message_count, c.last_message_at = m.created_at, c.last_message_id = m.id,
          c.updated_at >= m.created_at, c.unread_version
        )::text
        from channels c
        join lateral (select * from messages m where m.channel_id = c.id order by id desc limit 1) as m on true
        where c.id = ${id}
        union all
        select jsonb_build_array(m.user_id, m.own_posts)::text from channel_members m where m.channel_id = ${id}
        union all
        select jsonb_build_array(k.user_id, k.method, k.payload_hash, k.resource_id = m.id)::text
        from idempotency_keys k join messages m on m.id = k.resource_id where k.channel_id = ${id} and k.method = 'SendMessage'
        order by 1
      `;
      return rows.map(({ row }) => row);
    };
    await sendMessages(sql, [toItem('alone')], false);
    await sendMessages(sql, [toItem('alone')], true);
    await sendMessages(sql, [toItem('batch'), toItem('other')], false);
    await sendMessages(sql, [toItem('batch'), toItem('other')], true);
    assert.deepEqual(await rowsOf('alone'), await rowsOf('batch'));
    await the.owner`select settle_unread(1000)`;
    await assertNothingToRepair(the);
  });

  it('does not wait for a locked channel, unless it is to wait', async () => {
    const id = channels.get('other') ?? 0n;
    await the.owner.begin(async (tx) => {
      await tx`select from channels where id = ${id} for no key update`;
      assert.equal(await reasonOf([toItem('other')], false), 'CHANNEL_BUSY');
      await assert.rejects(reasonOf([toItem('other')], true), { code: '55P03' });
    });
    assert.equal(await reasonOf([toItem('other')], true), null);
  });

  it('writes no index of its channel, as in a batch', async () => {
    const rows = await the.owner<{ name: string }[]>`
      select a.attname as name
      from pg_index i
      join pg_depend d on d.objid = i.indexrelid and d.refobjid = i.indrelid
      join pg_attribute a on a.attrelid = i.indrelid and a.attnum = d.refobjsubid
      where i.indrelid = 'channels'::regclass
    `;
    const indexed = new Set(rows.map(({ name }) => name));
    const counters = ['event_seq', 'post_seq', 'message_count', 'unread_version', 'settled_version'];
    const times = ['last_message_id', 'last_message_at', 'updated_at'];
    assert.deepEqual(
      [...indexed].toSorted().filter((name) => [...counters, ...times].includes(name)),
      [],
    );
    assert.ok(indexed.has('is_unsettled'));
  });
});
