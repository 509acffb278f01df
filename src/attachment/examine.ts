import type { Config } from '../config.ts';
import type { Verdict } from './clamd.ts';
import { isImageType, isInlineType, isPlayableType } from './file.ts';
import type { MediaProcess, Thumbnail } from './media.ts';
import type { ScanProcess } from './scan.ts';
import type { Storage } from './storage.ts';

// Of both images that a decoder may hold: the file and the pixels, which have a limit of their own.
const MAX_IMAGE_BYTES = 33_554_432n;
const READ_URL_MS = 120_000;

type ExamineParts = {
  readonly storage: Storage;
  readonly scans: ScanProcess;
  readonly media: MediaProcess;
  readonly config: Config;
};
type StoredFile = { readonly s3Key: string; readonly fileType: string | null; readonly fileSize: bigint };

export type Result = Verdict & {
  readonly inlineSafe: boolean;
  readonly thumbnail: Thumbnail | undefined;
  /** Of audio and video that state it. */
  readonly durationMs: number | undefined;
};

/** Scans a file of the store, and creates the thumbnail of a clean image or reads the duration of audio and video. */
export async function examine(
  { storage, scans, media, config }: ExamineParts,
  address: string,
  { s3Key, fileType, fileSize }: StoredFile,
  signal: AbortSignal,
): Promise<Result> {
  const nothing = { inlineSafe: false, thumbnail: undefined, durationMs: undefined };
  if ((await storage.head(s3Key)) === undefined)
    return { status: 'FAILED', detail: 'the object is missing', ...nothing };
  const type = fileType ?? '';
  const size = Number(fileSize);
  const { timeoutMs } = config.scan;
  const url = await storage.presignRead(s3Key, timeoutMs + READ_URL_MS);
  const isInline = isInlineType(type);
  const responseMs = config.storage.timeoutMs;
  const { verdict, hasMarkup } = await scans.scan({
    url,
    address,
    detectMarkup: isInline,
    timeoutMs,
    responseMs,
  });
  // The processes that scan and decode files end with the instance.
  signal.throwIfAborted();
  if (verdict.status !== 'CLEAN') return { ...verdict, ...nothing };
  const isImage = isImageType(type) && fileSize <= MAX_IMAGE_BYTES;
  const thumbnail = isImage ? await media.createThumbnail(url, size) : undefined;
  const durationMs = isPlayableType(type) ? await media.readDuration(url, size, type) : undefined;
  signal.throwIfAborted();
  // An image that cannot be decoded is of another format, or made to attack a decoder.
  const isDecoded = !isImageType(type) || thumbnail !== undefined;
  return { ...verdict, inlineSafe: isInline && !hasMarkup && isDecoded, thumbnail, durationMs };
}
