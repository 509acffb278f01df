import { ActivityService } from '#gen/serp/discuss/v1/activity_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import type { App, As } from './kit/app.ts';

export const tenantId = 1n;
export const me: As = { userId: 1n, tenantId };
export const colleague: As = { userId: 2n, tenantId };
export const service: As = { userId: 0n, tenantId, roles: ['discuss.service'] };
/** Its discussion was moved to the channel. */
export const ENTITY = { type: 'order', id: 7n };
/** Twice as many messages are above 50, from which on reads count the bytes of messages. */
export const COUNT = 30;
export const MANY_EMOJI = 20;
export const MANY_USERS = 500;
export const PINS = 20;
/** The members besides the two users. */
export const READERS = 2 * COUNT - 2;
// Ids of nine bytes.
const LAST_ID = 9_007_199_254_740_993n;
// The largest that the contract permits: 10,000 grapheme clusters in 64 KB, and 8 KB of metadata as JSON, in the form that
// is largest in the binary codec.
const CONTENT = `kho ${'👨‍👩‍👧‍👦'.repeat(2_600)}`;
const METADATA = JSON.stringify({ a: Array(4_000).fill(0) });

/** Channels, members, messages and activities that are as large as the contract permits. */
export async function fill(the: App): Promise<{ channelId: bigint; rootMessageId: bigint }> {
  const channels = Array.from({ length: COUNT }, (_, index) =>
    the.client(ChannelService, me).createChannel({ name: `Kho ${index}`, memberUserIds: [colleague.userId] }),
  );
  const ids = (await Promise.all(channels)).map(({ channel }) => channel?.id ?? 0n);
  const [channelId = 0n, ...others] = ids;
  const client = the.client(MessageService, me);
  const post = async (replyToMessageId = 0n) => {
    const { message } = await client.sendMessage({ channelId, content: 'kho', replyToMessageId });
    return message?.id ?? 0n;
  };
  const roots = await Promise.all(Array.from({ length: COUNT }, () => post()));
  const rootMessageId = roots[0] ?? 0n;
  await Promise.all(roots.map(() => post(rootMessageId)));
  await Promise.all(roots.map((root) => client.followThread({ channelId, rootMessageId: root })));
  for (const messageId of roots.slice(0, PINS)) await client.pinMessage({ channelId, messageId });
  await Promise.all(others.map((id) => client.sendMessage({ channelId: id, content: 'x' })));
  const recording = the.client(ActivityService, service);
  await recording.recordActivities({
    activities: Array.from({ length: 2 * COUNT }, () => ({
      userIds: [me.userId],
      type: 'TASK_ASSIGNED',
      channelId,
      entity: ENTITY,
      description: 'x',
    })),
  });
  await the.owner`
    insert into channel_entity_aliases (tenant_id, entity_type, entity_id, channel_id, created_at)
    values (${tenantId}, ${ENTITY.type}, ${ENTITY.id}, ${channelId}, 1)
  `;
  await the.owner`
    insert into operations (tenant_id, kind, user_id, created_at, created_by, updated_at, due_at, finished_at, state)
    select 77, 'ERASE_USER', i, 1, 1, 1, 1, now_ms(), 'CANCELLED' from generate_series(1, ${2 * COUNT}) as i
  `;
  await the.owner`
    insert into legal_holds (tenant_id, user_id, reason, placed_at, placed_by)
    select 77, i, repeat('𝄞', 500), 1, 1 from generate_series(1, ${2 * COUNT}) as i
  `;
  await the.owner`
    insert into retention_rules (tenant_id, channel_id, deleted_days, updated_at)
    select 77, i, 5, 1 from generate_series(1, ${2 * COUNT}) as i
  `;
  await the.owner`
    insert into retention_runs (started_at, finished_at, lease_until, instance)
    select 1, 1, 1, repeat('x', 100) from generate_series(1, ${2 * COUNT})
  `;
  await the.owner`
    insert into key_rotations (key_id, replaces_keys, started_at, finished_at, instance)
    select repeat('x', 64), true, 1, 1, repeat('x', 100) from generate_series(1, ${2 * COUNT})
  `;
  await the.owner`
    select append_audit_event(78, 'operator', 1, 'X', jsonb_build_object('reason', repeat('𝄞', 500)))
    from generate_series(1, ${2 * COUNT})
  `;
  await enlarge(the.owner, channelId, rootMessageId);
  return { channelId, rootMessageId };
}

async function enlarge(sql: App['owner'], channelId: bigint, rootMessageId: bigint): Promise<void> {
  await sql`update channels set description = repeat('𝄞', 2000), metadata = ${METADATA}::text::jsonb`;
  await sql`update channel_members set metadata = ${METADATA}::text::jsonb`;
  await sql`
    insert into channel_members
      (channel_id, user_id, tenant_id, role, status, metadata, read_post_seq, joined_at, created_at, updated_at)
    select
      ${channelId}, ${LAST_ID}::bigint - n, ${tenantId}, 'MEMBER', 'ACTIVE',
      jsonb_build_object('nickname', repeat('𝄞', 100)), 1000, 1, 1, 1
    from generate_series(1, ${READERS}) as n
  `;
  await sql`
    update messages
    set
      content = ${CONTENT},
      metadata = ${METADATA}::text::jsonb,
      mentions = array(select ${LAST_ID}::bigint - n from generate_series(1, 100) as n)
    where channel_id = ${channelId}
  `;
  await sql`
    insert into attachments
      (message_id, channel_id, tenant_id, uploader_id, file_name, file_size, file_type, s3_key, s3_url, preview,
       created_at, updated_at)
    select
      ${rootMessageId}, ${channelId}, ${tenantId}, ${me.userId}, repeat('𝄞', 200), 1, repeat('x', 100), 'x', 'x',
      convert_to(repeat('x', 500), 'UTF8'), n, 1
    from generate_series(1, ${2 * COUNT}) as n
  `;
  await sql`
    insert into message_edits (tenant_id, message_id, version, channel_id, content, mentions, metadata, created_at)
    select m.tenant_id, m.id, n, m.channel_id, m.content, m.mentions, m.metadata, 1
    from messages m
    cross join generate_series(1, ${COUNT}) as n
    where m.id = ${rootMessageId}
  `;
  await sql`
    update messages
    set reactions = (
      select jsonb_agg(jsonb_build_object('emoji', ':' || e || ':', 'users', u.users))
      from generate_series(1, ${MANY_EMOJI}) as e
      cross join (
        select jsonb_agg(${LAST_ID}::bigint - n) as users from generate_series(1, ${MANY_USERS}) as n
      ) as u
    )
    where id = ${rootMessageId}
  `;
  await sql`
    update activity_feed
    set title = repeat('𝄞', 255), description = repeat('𝄞', 1000), metadata = ${METADATA}::text::jsonb
  `;
}
