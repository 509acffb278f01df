// Imported before the tests of a process that gets a Redis Cluster, see redis.ts.
process.env['TEST_REDIS_CLUSTER'] = 'true';
