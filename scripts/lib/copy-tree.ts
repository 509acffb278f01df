import { chown, copyFile, lstat, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Copies a folder that may change meanwhile: files that disappear are left out. `isSkipped` gets paths below the folder.
 * Run by root, the copies belong to the owners of the originals, as PostgreSQL requires.
 */
export async function copyTree(
  from: string,
  to: string,
  isSkipped: (path: string) => boolean = () => false,
  path = '',
): Promise<void> {
  const source = join(from, path);
  const target = join(to, path);
  const { uid, gid } = await lstat(source);
  await mkdir(target, { recursive: true, mode: 0o700 });
  await own(target, uid, gid);
  for (const entry of await readdir(source, { withFileTypes: true })) {
    const below = path === '' ? entry.name : `${path}/${entry.name}`;
    if (isSkipped(below)) continue;
    if (entry.isDirectory()) await ignoreMissing(copyTree(from, to, isSkipped, below));
    else if (entry.isFile()) await ignoreMissing(copyOwned(join(from, below), join(to, below)));
    else throw new Error(`${below} is neither a file nor a folder: tablespaces are not supported`);
  }
}

async function copyOwned(from: string, to: string): Promise<void> {
  const { uid, gid } = await lstat(from);
  await copyFile(from, to);
  await own(to, uid, gid);
}

async function own(path: string, uid: number, gid: number): Promise<void> {
  if (process.getuid?.() === 0) await chown(path, uid, gid);
}

async function ignoreMissing(work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
  }
}
