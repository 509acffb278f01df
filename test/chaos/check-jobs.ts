import { AdminService } from '#gen/serp/discuss/v1/admin_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import type { Owner } from './stores.ts';
import type { TestUser } from './test-user.ts';

/** The jobs have a tenant of their own, so that what they remove is not among the messages of the others. */
export const JOB_TENANT = 2n;

/** A user who writes what the jobs work on, and an operator. */
export type JobUsers = { readonly writer: TestUser; readonly operator: TestUser };

/** What the jobs work on in a round. */
export type Round = {
  /** The user who is erased, with ten messages in the channel `erased` and three mentions. */
  readonly victim: bigint;
  readonly erased: bigint;
  /** Encrypted, with ten messages. */
  readonly secret: bigint;
  /** With four deleted messages to purge, messages to export, and one that stays. */
  readonly old: bigint;
  /** The same, with six messages and a legal hold. */
  readonly held: bigint;
  readonly exported: number;
};

type Parts = JobUsers & { readonly owner: Owner };

/** What the jobs have not done, or have done twice. Throws while the database or the instances do not respond. */
export async function checkJobs(parts: Parts, rounds: readonly Round[]): Promise<string[]> {
  const problems = await Promise.all([
    ...rounds.map((round) => checkRound(parts.owner, round)),
    checkTotals(parts, rounds),
    checkSecret(parts, rounds.at(-1)),
  ]);
  return problems.flat();
}

async function checkRound(owner: Owner, round: Round): Promise<string[]> {
  const [row] = await owner<{ found: Record<string, number> }[]>`
    select jsonb_build_object(
      'erased messages', (
        select coalesce(sum((o.counts ->> 'messages')::int), 0)
        from operations o
        where o.tenant_id = ${JOB_TENANT} and o.user_id = ${round.victim} and o.state = 'SUCCEEDED'
      ),
      'changed messages', (
        select coalesce(sum((o.counts ->> 'changed')::int), 0)
        from operations o
        where o.tenant_id = ${JOB_TENANT} and o.user_id = ${round.victim} and o.state = 'SUCCEEDED'
      ),
      'operations in progress or failed', (
        select count(*)
        from operations o
        where o.tenant_id = ${JOB_TENANT} and o.user_id = ${round.victim} and o.state != 'SUCCEEDED'
      ),
      'operations without one record', (
        select count(*)
        from operations o
        where o.tenant_id = ${JOB_TENANT} and o.user_id = ${round.victim}
          and 1 != (
            select count(*)
            from audit_events a
            where a.tenant_id = o.tenant_id and a.action = 'OPERATION_SUCCEEDED'
              and a.details ->> 'operation_id' = o.id::text
          )
      ),
      'messages with content of the erased user', (
        select count(*)
        from messages m
        where m.channel_id = ${round.erased} and m.sender_id = ${round.victim} and (not m.is_deleted or m.content != '[erased]')
      ),
      'messages in the channel of the erased user', (
        select count(*) from messages m where m.channel_id = ${round.erased}
      ),
      'exported messages', (
        select coalesce(sum((a.details ->> 'count')::int), 0)
        from audit_events a
        where a.tenant_id = ${JOB_TENANT} and a.action = 'MESSAGES_EXPORTED'
          and a.details ->> 'channel_id' = ${`${round.old}`}
      ),
      'messages that remain after purge and export', (
        select count(*) from messages m where m.channel_id = ${round.old}
      ),
      'messages under a legal hold', (select count(*) from messages m where m.channel_id = ${round.held})
    ) as found
  `;
  const expected: Record<string, number> = {
    'erased messages': 10,
    'changed messages': 3,
    'operations in progress or failed': 0,
    'operations without one record': 0,
    'messages with content of the erased user': 0,
    'messages in the channel of the erased user': 13,
    'exported messages': round.exported,
    'messages that remain after purge and export': 1,
    'messages under a legal hold': 6,
  };
  return compare(row?.found ?? {}, expected, `round of user ${round.victim}`);
}

/** Totals of all runs, which count in the transaction of each change, and the certificates of these changes. */
async function checkTotals({ owner, operator }: Parts, rounds: readonly Round[]): Promise<string[]> {
  const [row] = await owner<{ found: Record<string, number> }[]>`
    select jsonb_build_object(
      'purged in all runs', (select sum(r.messages) from retention_runs r),
      'exported in all runs', (select sum(r.exported) from retention_runs r),
      'purged by certificates', (
        select sum((a.details ->> 'count')::int)
        from audit_events a
        where a.tenant_id = ${JOB_TENANT} and a.action = 'DELETED_MESSAGES_PURGED'
      ),
      'rotations in progress', (select count(*) from key_rotations r where r.finished_at is null),
      'rotations with errors', (select count(*) from key_rotations r where r.failed > 0),
      'locations of two exports', (
        select count(*) - count(distinct a.details ->> 'location')
        from audit_events a
        where a.tenant_id = ${JOB_TENANT} and a.action = 'MESSAGES_EXPORTED'
      )
    ) as found
  `;
  const expected: Record<string, number> = {
    'purged in all runs': 4 * rounds.length,
    'exported in all runs': rounds.reduce((sum, { exported }) => sum + exported, 0),
    'purged by certificates': 4 * rounds.length,
    'rotations in progress': 0,
    'rotations with errors': 0,
    'locations of two exports': 0,
  };
  const { problemSeq } = await operator
    .client(AdminService, 1)
    .verifyAuditLog({ tenantId: JOB_TENANT }, { timeoutMs: 3_000 });
  return [
    ...compare(row?.found ?? {}, expected, 'all rounds'),
    ...(problemSeq === 0n ? [] : [`the audit log is wrong from ${problemSeq} on`]),
  ];
}

/** Members read what was encrypted again, through both instances. */
async function checkSecret({ writer }: Parts, round: Round | undefined): Promise<string[]> {
  if (round === undefined) return [];
  const pages = await Promise.all(
    [0, 1].map((instance) =>
      writer
        .client(MessageService, instance)
        .listMessages({ channelId: round.secret, pageSize: 50 }, { timeoutMs: 3_000 }),
    ),
  );
  return pages.flatMap(({ messages }) => {
    const texts = messages.map(({ content }) => content).join();
    const expected = Array.from({ length: 10 }, (_, index) => `việc ${index}`).join();
    return texts === expected ? [] : [`the encrypted channel has ${texts}`];
  });
}

function compare(
  found: Readonly<Record<string, number>>,
  expected: Readonly<Record<string, number>>,
  where: string,
): string[] {
  return Object.entries(expected).flatMap(([what, count]) =>
    found[what] === count ? [] : [`${where}: ${found[what]} ${what}, not ${count}`],
  );
}
