import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { type App, app } from '../../test/kit/app.ts';

const CONNECTIONS = 3;

describe('connections for calls', () => {
  let the: App;
  before(async () => {
    the = await app({ DATABASE_CONNECTIONS: `${CONNECTIONS}` });
  });
  after(() => the.close());

  it('are used in turn, so that all are open and have prepared statements when many calls arrive', async () => {
    const client = the.client(ChannelService, { userId: 1n, tenantId: 1n });
    for (let call = 0; call < CONNECTIONS; call += 1) await client.listChannels({});
    const [row] = await the.owner<{ count: number }[]>`
      select count(*)::integer as count
      from pg_stat_activity
      where application_name like '%/calls %' and datname = current_database()
    `;
    assert.equal(row?.count, CONNECTIONS);
  });
});
