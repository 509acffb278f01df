// The rules of imports, checked by `make check`.

// Lowest first. A feature imports the features of the lines above its own, except their `rpc.ts`.
const FEATURE_LEVELS = [
  ['activity', 'audit', 'membership', 'notice', 'presence', 'server'],
  ['reaction'],
  ['channel'],
  ['attachment'],
  ['member', 'message'],
  ['pin', 'poll', 'search', 'thread', 'erasure', 'export'],
  ['operation'],
  ['admin'],
];
const FEATURES = FEATURE_LEVELS.flat().join('|');

// Lowest first. A module imports its own layer's folder and layers below it.
const LAYERS = [
  ['settings/'],
  ['config[.]ts'],
  ['telemetry/'],
  ['rpc/'],
  ['db/', 'redis/'],
  ['encryption/'],
  ['limit/', 'event/', 'revocation/', 'directory/'],
  ['deps[.]ts'],
  [`(?:${FEATURES})/`],
  ['jobs/'],
  ['edge/'],
  ['routes[.]ts'],
  ['service[.]ts'],
  ['main[.]ts', 'healthcheck[.]ts'],
];

const below = LAYERS.slice(0, -1).flatMap((layer, index) =>
  layer.map((part) => ({
    name: 'only-downward',
    comment: `src/${part} is below what it imports`,
    severity: 'error',
    from: { path: `^src/${part}` },
    to: {
      path: LAYERS.slice(index)
        .flat()
        .filter((other) => other !== part)
        .map((other) => `^src/${other}`),
    },
  })),
);

// An empty list of forbidden paths would forbid every import: the highest feature has none.
const betweenFeatures = FEATURE_LEVELS.slice(0, -1).flatMap((level, index) =>
  level.map((feature) => ({
    name: 'features-only-downward',
    comment: `src/${feature}/ is below what it imports, or beside it`,
    severity: 'error',
    from: { path: `^src/${feature}/` },
    to: {
      path: FEATURE_LEVELS.slice(index)
        .flat()
        .filter((other) => other !== feature)
        .map((other) => `^src/${other}/`),
    },
  })),
);

// biome-ignore lint/style/noDefaultExport: dependency-cruiser reads it
export default {
  forbidden: [
    ...below,
    ...betweenFeatures,
    {
      name: 'no-rpc-of-another-feature',
      comment: 'RPCs of several features are composed in src/routes.ts',
      severity: 'error',
      from: { path: `^src/(${FEATURES})/` },
      to: { path: `^src/(${FEATURES})/rpc[.]ts$`, pathNot: '^src/$1/' },
    },
    {
      name: 'no-cycle',
      severity: 'error',
      from: { path: '^src/' },
      to: { circular: true },
    },
    {
      name: 'no-import-from-outside-src',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^(test|scripts|bench)/' },
    },
  ],
  options: {
    // The TypeScript compiler's API that dependency-cruiser would use ends with version 6.
    parser: 'swc',
    // dependency-cruiser cannot read the `using` declarations of tests.
    exclude: { path: '[.]test[.]ts$' },
    doNotFollow: { path: '^(node_modules|gen)/' },
  },
};
