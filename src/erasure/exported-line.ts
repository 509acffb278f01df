/** A line of an object with exported messages, as export_messages() makes it. Ids are strings. */
type Line = {
  readonly kind: 'message' | 'version' | 'file';
  readonly channelId?: string | undefined;
  readonly id?: string | undefined;
  readonly position?: string | undefined;
  readonly senderId?: string | undefined;
  readonly type?: string | undefined;
  readonly rootMessageId?: string | undefined;
  readonly createTime?: string | undefined;
  readonly content?: string;
  readonly erased?: boolean;
  readonly mentionUserIds?: readonly string[];
  readonly reactions?: readonly { readonly emoji: string; readonly userIds: readonly string[] }[] | null;
  readonly votes?: readonly { readonly userId: string }[] | null;
  readonly notice?: { readonly actorId?: string; readonly actorName?: string };
  /** Of a version. */
  readonly messageId?: string;
  readonly file?: { readonly messageId: string; readonly location: string };
};

/** What the erasure of a user has found in an object. */
export type ErasedLines = {
  readonly userId: string;
  /** Messages of the user. */
  readonly ownIds: Set<string>;
  /** Messages whose content was erased now. */
  erased: number;
  /** Other lines that were changed or left out. */
  changed: number;
  /** Locations of files of the user. */
  readonly locations: string[];
};

/**
 * A line without what the erasure of a user removes; undefined if nothing remains. Lines of a message follow it. A message of
 * the user keeps its place in the conversation, as in the database.
 */
export function eraseLine(text: string, found: ErasedLines): string | undefined {
  const line: Line = JSON.parse(text);
  const next = change(line, found);
  if (next === line) return text;
  if (line.kind === 'message' && line.senderId === found.userId) found.erased += 1;
  else found.changed += 1;
  return next === undefined ? undefined : JSON.stringify(next);
}

function change(line: Line, { userId, ownIds, locations }: ErasedLines): Line | undefined {
  switch (line.kind) {
    case 'message':
      if (line.senderId !== userId) return withoutTraces(line, userId);
      ownIds.add(line.id ?? '');
      return line.erased === true ? line : toErased(line);
    case 'version':
      return ownIds.has(line.messageId ?? '') ? undefined : withoutTraces(line, userId);
    case 'file':
      if (line.file === undefined || !ownIds.has(line.file.messageId)) return line;
      locations.push(line.file.location);
      return undefined;
    default:
      return line.kind satisfies never;
  }
}

/** Without content, mentions, reactions, votes, times of changes and all other fields. */
function toErased(line: Line): Line {
  const { kind, channelId, id, position, senderId, type, rootMessageId, createTime } = line;
  return {
    kind,
    channelId,
    id,
    position,
    senderId,
    type,
    rootMessageId,
    createTime,
    content: '',
    erased: true,
  };
}

/** The same line if it has no trace of the user. */
function withoutTraces(line: Line, userId: string): Line {
  const { mentionUserIds, reactions, votes, notice, ...rest } = line;
  const mentions = mentionUserIds?.filter((id) => id !== userId);
  const kept = reactions?.flatMap(({ userIds, ...reaction }) => {
    const others = userIds.filter((id) => id !== userId);
    return others.length === 0 ? [] : [{ ...reaction, userIds: others }];
  });
  const otherVotes = votes?.filter((vote) => vote.userId !== userId);
  const isNamed = notice?.actorId === userId && notice.actorName !== undefined && notice.actorName !== '';
  const { actorName: _, ...unnamed } = notice ?? {};
  const isSame =
    mentions?.length === mentionUserIds?.length &&
    countUsers(kept) === countUsers(reactions) &&
    otherVotes?.length === votes?.length &&
    !isNamed;
  if (isSame) return line;
  return {
    ...rest,
    ...(mentions !== undefined && { mentionUserIds: mentions }),
    ...(kept !== undefined && { reactions: kept }),
    ...(otherVotes !== undefined && { votes: otherVotes }),
    ...(notice !== undefined && { notice: isNamed ? unnamed : notice }),
  };
}

function countUsers(reactions: Line['reactions'] | undefined): number {
  return (reactions ?? []).reduce((sum, { userIds }) => sum + userIds.length, 0);
}
