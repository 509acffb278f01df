import { AsyncLocalStorage } from 'node:async_hooks';
import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import { SpanExporter, toAttribute } from './span-exporter.ts';

export type TracingConfig = {
  readonly endpoint: string | undefined;
  readonly headers: readonly string[];
  readonly serviceName: string;
  /** Share of traces that begin here and are recorded, in percent. */
  readonly percent: number;
};

/** The place of a span in its trace, as the header `traceparent` has it. */
export type SpanContext = { readonly traceId: string; readonly spanId: string; readonly isRecorded: boolean };

type SpanKind = 'internal' | 'server' | 'client' | 'producer' | 'consumer';
type Span = {
  readonly name: string;
  readonly kind?: SpanKind;
  /** Default: the span that is running. */
  readonly parent?: SpanContext | undefined;
  readonly attributes?: Readonly<Record<string, string>>;
};

const KINDS: Readonly<Record<SpanKind, number>> = {
  internal: 1,
  server: 2,
  client: 3,
  producer: 4,
  consumer: 5,
};
const ERROR = 2;
// https://www.w3.org/TR/trace-context/
const TRACE_PARENT = /^00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})$/;

/** Records spans of calls. Exists only where a collector is configured. */
export class Tracer {
  readonly #exporter: SpanExporter;
  readonly #share: number;
  readonly #running = new AsyncLocalStorage<SpanContext | undefined>();

  constructor(endpoint: string, config: TracingConfig, instance: string, log: Logger) {
    const headers = Object.fromEntries(config.headers.map((header) => header.split(/=(.*)/s, 2)));
    this.#exporter = new SpanExporter({ endpoint, headers, serviceName: config.serviceName, instance }, log);
    this.#share = config.percent / 100;
  }

  /** The span that is running. */
  get current(): SpanContext | undefined {
    return this.#running.getStore();
  }

  /** Runs work within a span, which ends with it. */
  async span<T>(span: Span, work: () => Promise<T>): Promise<T> {
    const { parent = this.current } = span;
    const context: SpanContext = {
      traceId: parent?.traceId ?? randomBytes(16).toString('hex'),
      spanId: randomBytes(8).toString('hex'),
      isRecorded: parent?.isRecorded ?? Math.random() < this.#share,
    };
    if (!context.isRecorded) return this.#running.run(context, work);
    const began = nowNanos();
    let isFailed = true;
    try {
      const result = await this.#running.run(context, work);
      isFailed = false;
      return result;
    } finally {
      this.#exporter.add({
        traceId: context.traceId,
        spanId: context.spanId,
        ...(parent === undefined ? {} : { parentSpanId: parent.spanId }),
        name: span.name,
        kind: KINDS[span.kind ?? 'internal'],
        startTimeUnixNano: began,
        endTimeUnixNano: nowNanos(),
        attributes: Object.entries(span.attributes ?? {}).map(([key, value]) => toAttribute(key, value)),
        status: isFailed ? { code: ERROR } : {},
      });
    }
  }

  /** Runs work as part of a span that may have ended, or of none. */
  continue(context: SpanContext | undefined, work: () => void): void {
    this.#running.run(context, work);
  }

  close(): Promise<void> {
    return this.#exporter.close();
  }
}

/** Undefined where no collector is configured. */
export function createTracer(config: TracingConfig, instance: string, log: Logger): Tracer | undefined {
  return config.endpoint === undefined ? undefined : new Tracer(config.endpoint, config, instance, log);
}

/** Runs work within a span, where there is a tracer. */
export function traced<T>(tracer: Tracer | undefined, span: Span, work: () => Promise<T>): Promise<T> {
  return tracer === undefined ? work() : tracer.span(span, work);
}

export function toTraceParent({ traceId, spanId, isRecorded }: SpanContext): string {
  return `00-${traceId}-${spanId}-${isRecorded ? '01' : '00'}`;
}

/** Undefined for a missing or malformed header. */
export function fromTraceParent(header: string | undefined): SpanContext | undefined {
  const [, traceId, spanId, flags = ''] = TRACE_PARENT.exec(header ?? '') ?? [];
  if (traceId === undefined || spanId === undefined) return undefined;
  return { traceId, spanId, isRecorded: (Number.parseInt(flags, 16) & 1) === 1 };
}

function nowNanos(): string {
  return `${BigInt(Math.round((performance.timeOrigin + performance.now()) * 1_000)) * 1_000n}`;
}
