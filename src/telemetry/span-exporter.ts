import type { Logger } from 'pino';

/** A finished span as OTLP/JSON encodes it. */
export type OtlpSpan = {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  /** 1 internal, 2 server, 3 client, 4 producer, 5 consumer. */
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly OtlpAttribute[];
  readonly status: { readonly code?: number };
};
export type OtlpAttribute = { readonly key: string; readonly value: { readonly stringValue: string } };

export type ExporterConfig = {
  readonly endpoint: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly serviceName: string;
  readonly instance: string;
};

const INTERVAL_MS = 1_000;
const BATCH = 512;
const MAX_WAITING = 4_096;
const TIMEOUT_MS = 5_000;
const LOG_INTERVAL_MS = 60_000;

/**
 * Sends spans to a collector by OTLP over HTTP, as JSON. The service never waits for it: while the collector does not
 * respond, the newest spans are dropped.
 */
export class SpanExporter {
  readonly #config: ExporterConfig;
  readonly #log: Logger;
  readonly #timer: NodeJS.Timeout;
  #waiting: OtlpSpan[] = [];
  #sending: Promise<void> | undefined;
  #loggedAt = Number.NEGATIVE_INFINITY;

  constructor(config: ExporterConfig, log: Logger) {
    this.#config = config;
    this.#log = log.child({ part: 'traces' });
    this.#timer = setInterval(() => this.#flush(), INTERVAL_MS).unref();
  }

  add(span: OtlpSpan): void {
    if (this.#waiting.length < MAX_WAITING) this.#waiting.push(span);
    if (this.#waiting.length >= BATCH) this.#flush();
  }

  /** Sends what is waiting, once. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#sending;
    this.#flush();
    await this.#sending;
  }

  #flush(): void {
    if (this.#sending !== undefined || this.#waiting.length === 0) return;
    const spans = this.#waiting.splice(0, BATCH);
    this.#sending = this.#send(spans).finally(() => {
      this.#sending = undefined;
    });
  }

  async #send(spans: readonly OtlpSpan[]): Promise<void> {
    const { endpoint, headers } = this.#config;
    try {
      const response = await fetch(`${endpoint.replace(/\/$/, '')}/v1/traces`, {
        method: 'POST',
        headers: { ...headers, 'content-type': 'application/json' },
        body: JSON.stringify(this.#toRequest(spans)),
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      await response.body?.cancel();
      if (!response.ok) throw new Error(`status ${response.status}`);
    } catch (error) {
      if (performance.now() - this.#loggedAt < LOG_INTERVAL_MS) return;
      this.#loggedAt = performance.now();
      this.#log.warn({ err: error, spans: spans.length }, 'spans could not be exported');
    }
  }

  #toRequest(spans: readonly OtlpSpan[]) {
    const attributes = [
      toAttribute('service.name', this.#config.serviceName),
      toAttribute('service.instance.id', this.#config.instance),
    ];
    return {
      resourceSpans: [{ resource: { attributes }, scopeSpans: [{ scope: { name: 'discuss' }, spans }] }],
    };
  }
}

export function toAttribute(key: string, value: string): OtlpAttribute {
  return { key, value: { stringValue: value } };
}
