import { getOption } from '@bufbuild/protobuf';
import { page_size as pageSizeOption } from '#gen/serp/discuss/v1/options_pb.ts';
import type { Interceptor } from '../interceptor.ts';

/**
 * Replaces the `page_size` of a request by the size of the page to return: 0 by the default of the list, and a size
 * above its maximum by the maximum (AIP-158). A list without the option `page_size` fails the start.
 */
export const pageSizes: Interceptor = (method, next) => {
  const field = method.input.fields.find(({ name }) => name === 'page_size');
  if (field === undefined) return next;
  const { defaultSize, maxSize } = getOption(field, pageSizeOption);
  if (defaultSize < 1 || maxSize < defaultSize)
    throw new Error(`${field.toString()} has no valid page_size option`);
  return async (call) => {
    const size: unknown = Reflect.get(call.request, field.localName);
    const isDefault = typeof size !== 'number' || size === 0;
    Reflect.set(call.request, field.localName, isDefault ? defaultSize : Math.min(size, maxSize));
    return next(call);
  };
};
