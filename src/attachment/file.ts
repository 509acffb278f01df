import { randomBytes } from 'node:crypto';
import { fileTypeFromBuffer } from 'file-type';

/** Bytes from which the type of a file is detected. */
export const START_BYTES = 4_100;

const UNKNOWN_TYPE = 'application/octet-stream';
const MAX_NAME = 200;
const MAX_KEY_NAME = 100;

// What browsers display without running anything in it. Not SVG and HTML, which contain scripts.
const INLINE_TYPES: ReadonlySet<string> = new Set([
  'image/png',
  'image/jpeg',
  'image/gif',
  'image/webp',
  'image/avif',
  'video/mp4',
  'video/webm',
  'audio/mpeg',
  'audio/mp4',
  'audio/x-m4a',
  'audio/ogg',
  'audio/wav',
  'application/pdf',
]);

// Types that have a signature: without it, the bytes are of another type.
const SIGNED_TYPES = /^(image|audio|video|font)\/|^application\/(pdf|zip|gzip|x-7z-compressed|vnd\.rar)$/;
// Containers of many formats, of which the first bytes may not name the format.
const CONTAINER_TYPES: ReadonlySet<string> = new Set(['application/zip', 'application/x-cfb']);

export function isInlineType(type: string): boolean {
  return INLINE_TYPES.has(type);
}

/** Whether a message with only such files is of type IMAGE. */
export function isImageType(type: string): boolean {
  return type.startsWith('image/') && INLINE_TYPES.has(type);
}

export function isPlayableType(type: string): boolean {
  return /^(audio|video)\//.test(type);
}

/** The type of a file by its first bytes; the declared one only where bytes cannot show the type, as for text. */
export async function detectType(start: Buffer, declared: string): Promise<string> {
  const detected = await fileTypeFromBuffer(start);
  if (detected === undefined) return declared === '' || SIGNED_TYPES.test(declared) ? UNKNOWN_TYPE : declared;
  const isOfContainer = CONTAINER_TYPES.has(detected.mime) && declared.startsWith('application/vnd.');
  return isOfContainer ? declared : (detected.mime.split(';')[0] ?? UNKNOWN_TYPE);
}

/** A name without folders, control characters and characters that reverse the direction of text. */
export function cleanName(name: string): string {
  const last = name.normalize('NFC').split(/[/\\]/).at(-1) ?? '';
  const clean = last.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\u2028\u2029]/gu, '').trim();
  const short = [...clean].slice(0, MAX_NAME).join('');
  return /^\.*$/.test(short) ? 'file' : short;
}

export function extensionOf(name: string): string | null {
  return /\.([\p{L}\p{N}]{1,20})$/u.exec(name)?.[1]?.toLowerCase() ?? null;
}

/** Begins the keys of what retention exports. Those of files begin with the id of their tenant. */
export const EXPORT_PREFIX = 'exports/';

/** An unguessable key for a new object. */
export function toKey(tenantId: bigint, channelId: bigint, name: string): string {
  const ascii = name
    .normalize('NFD')
    .replace(/\p{M}/gu, '')
    .replace(/[^\w.-]/g, '_')
    .slice(-MAX_KEY_NAME);
  return `${tenantId}/${channelId}/${randomBytes(18).toString('base64url')}/${ascii}`;
}

/** A header `content-disposition`, whose file name can contain no quote, line break or further parameter. */
export function toDisposition(kind: 'inline' | 'attachment', name: string): string {
  const ascii = name.replace(/[^\w.-]/g, '_');
  const encoded = encodeURIComponent(name).replace(
    /['()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return `${kind}; filename="${ascii}"; filename*=UTF-8''${encoded}`;
}
