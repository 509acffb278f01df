import type { FieldMask } from '@bufbuild/protobuf/wkt';
import { errors } from './errors.ts';

/** The fields that `update_mask` names: at least one, each of them in `allowed`. */
export function maskPaths<Path extends string>(
  mask: FieldMask | undefined,
  allowed: readonly Path[],
): ReadonlySet<Path> {
  const paths = new Set(mask?.paths);
  if (paths.size === 0) throw errors.fieldInvalid('update_mask', 'names no field');
  const known = allowed.filter((path) => paths.has(path));
  if (known.length < paths.size)
    throw errors.fieldInvalid('update_mask', 'names a field that cannot be changed');
  return new Set(known);
}
