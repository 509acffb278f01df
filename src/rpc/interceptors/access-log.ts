import type { DescMethod } from '@bufbuild/protobuf';
import type { Logger } from 'pino';
import { Code } from '#gen/google/rpc/code_pb.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import { type CallContext, methodPath } from '../call-context.ts';
import { codeName, RpcError } from '../errors.ts';
import type { Interceptor } from '../interceptor.ts';

/** One log line and one observation in the metrics per call, whatever its result; `failuresOnly`: unless it succeeds. */
export function accessLog(log: Logger, metrics: Metrics, { failuresOnly = false } = {}): Interceptor {
  return (method, next) => {
    const service = method.parent.typeName;
    const running = metrics.callsRunning.labels(service, method.name);
    const streams = method.methodKind === 'unary' ? undefined : metrics.streamsOpen;
    return async (call) => {
      const began = performance.now();
      running.inc();
      streams?.inc({ edge: call.incoming.edge });
      let rpcError: RpcError | undefined;
      try {
        return await next(call);
      } catch (error) {
        if (error instanceof RpcError) rpcError = error;
        throw error;
      } finally {
        running.dec();
        streams?.dec({ edge: call.incoming.edge });
        const ms = performance.now() - began;
        const code = codeName(rpcError?.code ?? Code.OK);
        const isRecorded = rpcError !== undefined || !failuresOnly;
        if (isRecorded) metrics.callSeconds.observe({ service, method: method.name, code }, ms / 1000);
        if (isRecorded && log.isLevelEnabled('info')) log.info(line(method, call, code, rpcError, ms), 'rpc');
      }
    };
  };
}

function line(method: DescMethod, call: CallContext, code: string, error: RpcError | undefined, ms: number) {
  return {
    method: methodPath(method),
    code,
    ...(error !== undefined && { reason: error.reasonName }),
    ms: Math.round(ms * 100) / 100,
    edge: call.incoming.edge,
    requestId: call.requestId,
    ...(call.traceId !== undefined && { traceId: call.traceId }),
    caller: call.caller.kind,
    tenantId: call.caller.tenantId.toString(),
    userId: call.caller.userId.toString(),
  };
}
