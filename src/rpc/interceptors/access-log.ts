import type { DescMethod } from '@bufbuild/protobuf';
import type { Logger } from 'pino';
import { Code } from '#gen/google/rpc/code_pb.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import { type CallContext, methodPath } from '../call-context.ts';
import { codeName, RpcError, reasonName } from '../errors.ts';
import type { Interceptor } from '../interceptor.ts';

/** One line in the log and one observation per call, whatever became of it. */
export function accessLog(log: Logger, metrics: Metrics): Interceptor {
  return (method, next) => {
    const running = metrics.callsRunning.labels(method.parent.typeName, method.name);
    const streams = method.methodKind === 'unary' ? undefined : metrics.streamsOpen;
    return async (call) => {
      const began = performance.now();
      running.inc();
      streams?.inc({ edge: call.arrival.edge });
      let refusal: RpcError | undefined;
      try {
        return await next(call);
      } catch (error) {
        if (error instanceof RpcError) refusal = error;
        throw error;
      } finally {
        running.dec();
        streams?.dec({ edge: call.arrival.edge });
        const ms = performance.now() - began;
        const code = codeName(refusal?.code ?? Code.OK);
        metrics.callSeconds.observe(
          { service: method.parent.typeName, method: method.name, code },
          ms / 1000,
        );
        if (log.isLevelEnabled('info')) log.info(line(method, call, code, refusal, ms), 'rpc');
      }
    };
  };
}

function line(
  method: DescMethod,
  call: CallContext,
  code: string,
  refusal: RpcError | undefined,
  ms: number,
) {
  return {
    method: methodPath(method),
    code,
    ...(refusal !== undefined && { reason: reasonName(refusal.reason) }),
    ms: Math.round(ms * 100) / 100,
    edge: call.arrival.edge,
    requestId: call.requestId,
    caller: call.caller.kind,
    tenantId: call.caller.tenantId.toString(),
    userId: call.caller.userId.toString(),
  };
}
