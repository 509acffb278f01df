import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type App, app } from '../test/kit/app.ts';
import { SchemaError } from './db/schema-files.ts';

describe('openService', () => {
  let the: App;

  before(async () => {
    the = await app();
  });
  after(() => the.close());

  it('rejects a login that bypasses row-level security', async () => {
    await assert.rejects(the.start({ DATABASE_URL: the.database.ownerUrl }), SchemaError);
    assert.equal(the.instances.length, 1);
  });

  it('lists every problem of the configuration at once', () => {
    assert.throws(
      () =>
        the.config({ DATABASE_URL: '', GRPC_KEEPALIVE_MS: 'soon', LOG_LEVEL: 'loud', WRITE_BATCH_SIZE: '0' }),
      /LOG_LEVEL must be one of.*\n.*GRPC_KEEPALIVE_MS must be.*\n.*DATABASE_URL is required\n.*WRITE_BATCH_SIZE must be/,
    );
  });
});
