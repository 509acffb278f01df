import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { breakingParts } from '../scripts/lib/migration-rules.ts';
import { migrate } from '../src/db/migrate.ts';
import { type App, type As, app } from './kit/app.ts';
import { openScratch, type Scratch } from './kit/schema-scratch.ts';
import { Subscriber } from './kit/stream.ts';
import { until } from './kit/until.ts';

const ana: As = { userId: 1n, tenantId: 1n };
const binh: As = { userId: 2n, tenantId: 1n };
const MESSAGES = 20;
// Longer than the deadline of a call, which then fails.
const WAIT_MS = 60_000;

// The files of a newer build: a column, an index, and functions with other bodies.
const EXPAND = `
alter table messages add column upgrade_note text;
alter table channels add column upgrade_note text not null default '';
`;
const INDEX = `-- no transaction
drop index concurrently if exists channels_upgrade_note;
create index concurrently channels_upgrade_note on channels (tenant_id, upgrade_note);
`;

describe('a rolling upgrade', () => {
  let the: App;
  let scratch: Scratch;

  before(async () => {
    [the, scratch] = await Promise.all([app(), openScratch()]);
  });
  after(async () => {
    await the.close();
    await scratch.close();
  });

  const newerFiles = async (oldestBuild: string) => {
    const functions = new URL('../sql/functions/', import.meta.url);
    const send = await readFile(new URL('message/insert_messages.sql', functions), 'utf8');
    const version = await readFile(new URL('db/schema_version.sql', functions), 'utf8');
    return scratch.folderWith({
      'migrations/900_expand.sql': EXPAND,
      'migrations/901_index.sql': INDEX,
      'functions/message/insert_messages.sql': `${send}\n-- of a newer build\n`,
      'functions/db/schema_version.sql': version.replace(/'0.*';/, `'9.0.0', '${oldestBuild}';`),
    });
  };

  it('migrates under load, starts instances, and drains the first: no call fails, and no event is lost or repeated', async () => {
    assert.deepEqual([...breakingParts('900', EXPAND), ...breakingParts('901', INDEX)], []);
    const { channel } = await the
      .client(ChannelService, ana)
      .createChannel({ name: 'Kho', memberUserIds: [2n] });
    const channelId = channel?.id ?? 0n;
    let subscriber = await new Subscriber(the.client(EventService, binh), [channelId]).connect();
    const sent: string[] = [];
    let instance = 0;
    let isSending = true;
    const send = async (sender: number) => {
      for (let index = 0; isSending; index += 1) {
        const content = `${sender}:${index}`;
        await the.client(MessageService, ana, 'grpc', instance).sendMessage({ channelId, content });
        sent.push(content);
      }
    };
    const sending = Promise.all([0, 1, 2].map(send));
    const progress = async () => {
      const before = sent.length;
      await until(() => sent.length > before + MESSAGES, 'messages', WAIT_MS);
    };
    await progress();
    const folder = await newerFiles('0.1.0');
    const build = { version: '9.0.0', oldestSchema: '9.0.0', oldestBuild: '0.1.0' };
    const lines: string[] = [];
    await migrate(the.database.ownerUrl, { folder, build, log: (line) => lines.push(line) });
    assert.ok(lines.includes('applied 901_index.sql'));
    await progress();
    // Also what a rollback does: this build migrates, and starts on the newer schema.
    const again: string[] = [];
    await migrate(the.database.ownerUrl, { log: (line) => again.push(line) });
    assert.match(again.join(), /newer version 9\.0\.0, which this build can run on/);
    await the.start();
    instance = 1;
    await progress();
    isSending = false;
    await sending;
    await until(() => subscriber.messages(channelId).length === sent.length, 'all messages', WAIT_MS);
    assert.deepEqual(subscriber.messages(channelId).sort(), sent.sort());
    assert.deepEqual(subscriber.faults, []);
    await subscriber.disconnect();
    subscriber = await new Subscriber(the.client(EventService, binh, 'grpc', 1), [channelId]).connect();
    await subscriber.disconnect();
  });

  it('is rejected by builds that the newer schema does not permit', async () => {
    const folder = await newerFiles('8.0.0');
    const build = { version: '9.0.0', oldestSchema: '9.0.0', oldestBuild: '8.0.0' };
    await migrate(the.database.ownerUrl, { folder, build });
    await assert.rejects(the.start(), /version 9\.0\.0 needs builds from 8\.0\.0 on, this one is 0\.1\.0/);
    await assert.rejects(migrate(the.database.ownerUrl), /needs builds from 8\.0\.0/);
  });

  it('waits for locks of a migration only shortly, and tries again', async () => {
    const url = scratch.database.ownerUrl;
    const folder = await scratch.folderWith({ 'migrations/900_expand.sql': EXPAND });
    const warnings: string[] = [];
    const locked = Promise.withResolvers<void>();
    const released = Promise.withResolvers<void>();
    const sql = scratch.connect(url);
    const transaction = sql.begin(async (tx) => {
      await tx`lock table messages in row exclusive mode`;
      locked.resolve();
      await released.promise;
    });
    await locked.promise;
    const migrating = migrate(url, { folder, warn: (line) => warnings.push(line) });
    await until(() => warnings.length > 0, 'the first attempt', WAIT_MS);
    assert.match(warnings.join(), /900_expand\.sql failed: canceling statement due to lock timeout/);
    released.resolve();
    await transaction;
    await migrating;
    await sql`select upgrade_note from messages union all select upgrade_note from channels`;
    await sql.end();
  });

  it('needs migrations that keep the build before working', () => {
    const broken = {
      'alter table messages drop column metadata;': 'removes something',
      'alter table messages rename column metadata to data;': 'renames something',
      'alter table messages alter column content type varchar(10);': 'changes a type',
      'alter table messages alter column metadata set not null;': 'makes a column required',
      'alter table messages add column note text not null;': 'adds a required column',
      'alter table messages add constraint c check (id > 0);': 'without `not valid`',
      'create index i on messages (note);': 'without `concurrently`',
    };
    for (const [statement, problem] of Object.entries(broken))
      assert.match(breakingParts('900_x.sql', statement).join(), new RegExp(`900_x.sql .*${problem}`));
    assert.deepEqual(
      breakingParts('900_x.sql', '-- contract: since 0.2.0 unused\nalter table messages drop column x;'),
      [],
    );
    assert.deepEqual(breakingParts('900_x.sql', 'create index i on only messages (note);'), []);
    const created = 'create table notes (id int);\ncreate index on notes (id);\n';
    assert.deepEqual(breakingParts('900_x.sql', created), []);
  });
});
