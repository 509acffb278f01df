import { type IRangeRequestClient, tokenizer } from '@tokenizer/range';
import { parseFromTokenizer } from 'music-metadata';
import { downloadBytes } from './download.ts';

/** Bytes that are read of a file. Some formats state their duration only in each part, so that larger files have none. */
const MAX_BYTES = 8_388_608;
const CHUNK_BYTES = 65_536;

type Media = { readonly url: string; readonly size: number; readonly type: string };

/**
 * Duration of audio or video in ms; undefined if the file does not state it, or not in the bytes that are read. Throws if
 * the store fails.
 */
export async function readDuration(media: Media, signal: AbortSignal): Promise<number | undefined> {
  const reader = new RangeReader(media, signal);
  const options = { duration: media.size <= MAX_BYTES, skipCovers: true, skipPostHeaders: true };
  const source = await tokenizer(reader, { minimumChunkSize: CHUNK_BYTES, initialChunkSize: CHUNK_BYTES });
  const seconds = await parseFromTokenizer(source, options).then(
    ({ format }) => format.duration ?? 0,
    () => 0,
  );
  if (reader.failure !== undefined) throw reader.failure;
  const isKnown = seconds > 0 && seconds <= Number.MAX_SAFE_INTEGER / 1_000;
  return isKnown ? Math.round(seconds * 1_000) : undefined;
}

/** Reads ranges of a file until the limit, after which the parser ends. */
class RangeReader implements IRangeRequestClient {
  failure: Error | undefined;
  #bytes = 0;
  readonly #media: Media;
  readonly #signal: AbortSignal;

  constructor(media: Media, signal: AbortSignal) {
    this.#media = media;
    this.#signal = signal;
  }

  async getHeadInfo() {
    return { size: this.#media.size, mimeType: this.#media.type, acceptPartialRequests: true };
  }

  async getResponse(_method: string, range: [number, number] = [0, this.#media.size - 1]) {
    const bytes = range[1] - range[0] + 1;
    if (this.#bytes + bytes > MAX_BYTES) throw new RangeError('the file needs to be read as a whole');
    this.#bytes += bytes;
    const chunk = await downloadBytes(this.#media.url, bytes, { signal: this.#signal, range }).catch(
      (error) => {
        this.failure = error;
        throw error;
      },
    );
    const contentRange = { instanceLength: this.#media.size };
    return { ...(await this.getHeadInfo()), contentRange, arrayBuffer: async () => chunk };
  }

  abort(): void {}
}
