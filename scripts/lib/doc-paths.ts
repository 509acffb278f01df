import { existsSync, readdirSync, readFileSync } from 'node:fs';

// Files and folders (with a final slash); `x` stands for any name, as in src/x/rpc.ts.
const PATH = /(?<![\w/.-])(?:bench|docs|proto|scripts|sql|src|test)\/[\w./-]*(?:\.[a-z]+\b|\/)/g;
const PLACEHOLDER = /\/x[/_.]/;

/** Paths of the repository that README.md, SECURITY.md and docs/ name and that do not exist. */
export function findMissingDocPaths(): string[] {
  const documents = ['README.md', 'SECURITY.md', ...readdirSync('docs').map((name) => `docs/${name}`)];
  return documents.flatMap((document) => {
    const paths = new Set(readFileSync(document, 'utf8').match(PATH));
    return [...paths]
      .filter((path) => !PLACEHOLDER.test(path) && !existsSync(path))
      .map((path) => `${document}: ${path} does not exist`);
  });
}
