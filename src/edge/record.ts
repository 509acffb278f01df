import type { DescMethod } from '@bufbuild/protobuf';
import type { Logger } from 'pino';
import { Code } from '#gen/google/rpc/code_pb.ts';
import { codeName, Refusal, reasonName } from './errors.ts';
import type { Metrics } from './metrics.ts';
import { methodPath, type RunningCall } from './running-call.ts';
import type { Surrounding } from './surroundings.ts';

/** One line in the log and one observation per call, whatever became of it. */
export function record(log: Logger, metrics: Metrics): Surrounding {
  return (method, next) => {
    const running = metrics.callsRunning.labels(method.parent.typeName, method.name);
    const streams = method.methodKind === 'unary' ? undefined : metrics.streamsOpen;
    return async (call) => {
      const began = performance.now();
      running.inc();
      streams?.inc({ edge: call.arrival.edge });
      let refusal: Refusal | undefined;
      try {
        return await next(call);
      } catch (error) {
        if (error instanceof Refusal) refusal = error;
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

function line(method: DescMethod, call: RunningCall, code: string, refusal: Refusal | undefined, ms: number) {
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
