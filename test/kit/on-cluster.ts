// Imported before the tests of a process that gets a Redis Cluster, see redis.ts.
import { after } from 'node:test';
import { closeSpareCluster, openSpareCluster } from './redis.ts';

process.env['TEST_REDIS_CLUSTER'] = 'true';
openSpareCluster();
after(closeSpareCluster);
