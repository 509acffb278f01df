// The rules of imports, checked by `make check`.

const FEATURES =
  'activity|admin|attachment|channel|member|message|notice|pin|poll|presence|reaction|search|thread';

// Lowest first. A module imports its own layer's folder and layers below it.
const LAYERS = [
  ['config[.]ts'],
  ['telemetry/'],
  ['rpc/'],
  ['db/', 'redis/'],
  ['limit/', 'event/'],
  [`(?:${FEATURES})/`],
  ['jobs/'],
  ['edge/'],
  ['routes[.]ts'],
  ['service[.]ts'],
  ['main[.]ts'],
];

const below = LAYERS.slice(0, -1).flatMap((layer, index) =>
  layer.map((part) => ({
    name: 'only-downward',
    comment: `src/${part} is below what it imports`,
    severity: 'error',
    from: { path: `^src/${part}`, pathNot: '^src/(admin|event)/' },
    to: {
      path: LAYERS.slice(index)
        .flat()
        .filter((other) => other !== part)
        .map((other) => `^src/${other}`),
    },
  })),
);

// biome-ignore lint/style/noDefaultExport: dependency-cruiser reads it
export default {
  forbidden: [
    ...below,
    {
      name: 'no-cycle',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/(channel|db|event|jobs|deps)' },
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
