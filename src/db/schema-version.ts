/** What a build states about schemas; `make check` compares it with package.json and schema_version(). */
export type SchemaVersion = {
  /** Version of the build, whose migrations create the schema of the same version. */
  readonly version: string;
  /** The oldest schema that the build can run on. That of the build before, if instances may start before the migration. */
  readonly oldestSchema: string;
  /**
   * The oldest build that can run on the schema of this build, and so the newest schema that this build can run on: one
   * whose `oldestBuild` is not newer than this build. Raised by a migration that removes what older builds use.
   */
  readonly oldestBuild: string;
};

export const SCHEMA_VERSION: SchemaVersion = {
  version: '0.1.0',
  oldestSchema: '0.1.0',
  oldestBuild: '0.1.0',
};

/** Negative if the first version is older, positive if it is newer. */
export function compareVersions(one: string, other: string): number {
  const [first, second] = [one, other].map((version) => version.split('.').map(Number));
  for (const index of [0, 1, 2]) {
    const difference = (first?.[index] ?? 0) - (second?.[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
