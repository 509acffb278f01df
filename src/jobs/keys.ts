import type { MessageInitShape } from '@bufbuild/protobuf';
import { type AdminService, KeyRotationSchema } from '#gen/serp/discuss/v1/admin_service_pb.ts';
import { toTimestamp } from '../db/time.ts';
import type { Deps } from '../deps.ts';
import type { Handlers } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';
import { fromPageToken, pageOfItems } from '../rpc/page-token.ts';
import { countKeys, listRotations, type RotationRow, startRotation } from './key-sql.ts';

type KeyHandlers = Pick<Handlers<typeof AdminService>, 'startKeyRotation' | 'listKeyRotations'>;

const LAST = 0x7fff_ffff_ffff_ffffn;

export function keyHandlers({ db, encryption }: Deps): KeyHandlers {
  return {
    async startKeyRotation({ tenantId, channelId, replaceDataKeys }, call) {
      const keyId = encryption.keyEncryption.currentKeyId;
      if (keyId === undefined) throw errors.encryptionNotConfigured();
      const rotation = { tenantId, channelId, keyId, replacesKeys: replaceDataKeys };
      return db.transaction(call, async (sql) => {
        const [found] = await startRotation(sql, rotation);
        if (found === undefined) throw errors.conflict();
        const [row] = await listRotations(sql, found.id + 1n, 1);
        if (row === undefined) throw errors.conflict();
        return { rotation: toRotation(row), alreadyRunning: !found.started };
      });
    },

    async listKeyRotations({ pageSize, pageToken }, call) {
      const before = fromPageToken(pageToken, 1)?.[0] ?? LAST;
      const [rows, keys] = await db.transaction(call, (sql) =>
        Promise.all([listRotations(sql, before, pageSize + 1), countKeys(sql)]),
      );
      const { items, nextPageToken } = pageOfItems(rows, pageSize, KeyRotationSchema, toRotation, (last) => [
        last.id,
      ]);
      return {
        rotations: items,
        nextPageToken,
        keys: keys.map(({ keyId, keys: dataKeyCount }) => ({ keyId, dataKeyCount })),
      };
    },
  };
}

function toRotation(row: RotationRow): MessageInitShape<typeof KeyRotationSchema> {
  return {
    id: row.id,
    tenantId: row.tenantId,
    channelId: row.channelId,
    keyId: row.keyId,
    replaceDataKeys: row.replacesKeys,
    startTime: toTimestamp(row.startedAt),
    endTime: toTimestamp(row.finishedAt),
    instanceId: row.instance,
    attemptCount: row.attempt,
    rewrappedKeyCount: row.rewrapped,
    replacedKeyCount: row.replaced,
    reencryptedRowCount: row.reencrypted,
    failedCount: row.failed,
  };
}
