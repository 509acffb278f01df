/** What the service states about an error besides its code. */
export type ErrorDetails = {
  /** A name of `ErrorReason` without its prefix. */
  readonly reason?: string;
  /** The number or id concerned, by name. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Delay before the call can succeed. */
  readonly retryDelayMs?: number;
  /** Text for users, in the language of the header `accept-language`. */
  readonly localizedMessage?: string;
};

/** A detail as it is sent: the name of a message, and its binary encoding. */
export type EncodedDetail = { readonly type: string; readonly value: Uint8Array };

type Field = readonly [number: number, value: number | Uint8Array];

const VARINT = 0;
const LENGTH_DELIMITED = 2;

/** Decodes the details of google/rpc/error_details.proto that clients need, and ignores others. */
export function readDetails(details: readonly EncodedDetail[]): ErrorDetails {
  return Object.assign({}, ...details.map(readDetail));
}

function readDetail({ type, value }: EncodedDetail): ErrorDetails {
  const fields = [...fieldsOf(value)];
  if (type === 'google.rpc.ErrorInfo') {
    const entries = fields
      .filter(([number]) => number === 3)
      .map(([, entry]) => [...fieldsOf(bytesOf(entry))]);
    const metadata = Object.fromEntries(entries.map((entry) => [textIn(entry, 1), textIn(entry, 2)]));
    return { reason: textIn(fields, 1), metadata };
  }
  if (type === 'google.rpc.RetryInfo') {
    const duration = [...fieldsOf(bytesOf(valueIn(fields, 1)))];
    return { retryDelayMs: Number(valueIn(duration, 1)) * 1_000 + Number(valueIn(duration, 2)) / 1_000_000 };
  }
  return type === 'google.rpc.LocalizedMessage' ? { localizedMessage: textIn(fields, 2) } : {};
}

function valueIn(fields: readonly Field[], wanted: number): Field[1] {
  return fields.find(([number]) => number === wanted)?.[1] ?? 0;
}

function textIn(fields: readonly Field[], wanted: number): string {
  return new TextDecoder().decode(bytesOf(valueIn(fields, wanted)));
}

function bytesOf(value: Field[1]): Uint8Array {
  return value instanceof Uint8Array ? value : new Uint8Array();
}

/** The fields of an encoded message, up to one with an encoding that these messages do not use. */
function* fieldsOf(bytes: Uint8Array): Generator<Field> {
  let at = 0;
  function varint(): number {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = bytes[at++] ?? 0;
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  }
  while (at < bytes.length) {
    const tag = varint();
    if ((tag & 7) === VARINT) yield [tag >> 3, varint()];
    else if ((tag & 7) === LENGTH_DELIMITED) {
      const end = varint() + at;
      yield [tag >> 3, bytes.subarray(at, end)];
      at = end;
    } else return;
  }
}
