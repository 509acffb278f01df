import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { hasPostgresProgram } from '../../scripts/lib/postgres.ts';
import { runDrill } from './drill.ts';

const skip = (await hasPostgresProgram()) ? false : 'no PostgreSQL program to destroy: set POSTGRES_BIN';

describe('a database that is destroyed and restored to a point in time', { skip }, () => {
  // `npm run drill` is the long form.
  it('has every message that was acknowledged before, and resets streams by itself', async () => {
    const report = await runDrill({ channels: 2, loadMs: 200, fsync: false }, (line) =>
      console.log(`# ${line}`),
    );
    assert.ok(report.acknowledged > 0);
  });
});
