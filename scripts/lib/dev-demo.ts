import { type Client, createClient, type Interceptor } from '@connectrpc/connect';
import { createGrpcTransport, Http2SessionManager } from '@connectrpc/connect-node';
import { ChannelType } from '#gen/serp/discuss/v1/channel_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';

export const LAN = { userId: 101n, tenantId: 1n, name: 'Nguyễn Thị Lan' };
export const MINH = { userId: 102n, tenantId: 1n, name: 'Trần Văn Minh' };
export const STRANGER = { userId: 201n, tenantId: 2n, name: 'Alex Doe' };

const GROUP_NAME = 'Triển khai ERP';
const MAX_PAGE_SIZE = 100;

type Sender = 'lan' | 'minh';
type Line = readonly [Sender, string];

const DIRECT_LINES: readonly Line[] = [
  ['lan', 'Chào anh Minh, báo cáo doanh thu tháng này xong chưa ạ?'],
  ['minh', 'Gần xong rồi em, chiều nay anh gửi.'],
  ['lan', 'Dạ vâng. Could you add the figures of order PO-2024-001 as well?'],
  ['minh', 'Sure, they will be in the second table.'],
];

const GROUP_LINES: readonly Line[] = [
  ['lan', 'Chào mọi người, đây là kênh trao đổi về việc triển khai ERP.'],
  ['minh', 'Good morning! The warehouse module goes live on Monday.'],
  ['lan', 'Khách hàng đã duyệt kế hoạch chuyển dữ liệu.'],
  ['minh', 'Great. I will prepare the training material in Vietnamese and English.'],
  ['lan', 'Cảm ơn anh. Nhớ kiểm tra lại phân quyền cho phòng kế toán nhé.'],
];

interface Clients {
  readonly channels: Client<typeof ChannelService>;
  readonly messages: Client<typeof MessageService>;
}

export interface Demo {
  readonly directChannelId: bigint;
  readonly groupChannelId: bigint;
}

/** Creates the channels and messages of the demo tenant through the service, unless an earlier start did. */
export async function seedDemo(grpcAddress: string, lanToken: string, minhToken: string): Promise<Demo> {
  const baseUrl = `http://${grpcAddress}`;
  const sessionManager = new Http2SessionManager(baseUrl);
  const clientsOf = (token: string): Clients => {
    const transport = createGrpcTransport({ baseUrl, sessionManager, interceptors: [bearer(token)] });
    return {
      channels: createClient(ChannelService, transport),
      messages: createClient(MessageService, transport),
    };
  };
  const users = { lan: clientsOf(lanToken), minh: clientsOf(minhToken) };
  try {
    const direct = await users.lan.channels.getOrCreateDirectChannel({ userId: MINH.userId });
    const directChannelId = direct.channel?.id ?? 0n;
    const groupChannelId = (await findGroup(users.lan)) ?? (await createGroup(users.lan));
    await sendMissing(users, directChannelId, DIRECT_LINES, 1);
    await sendMissing(users, groupChannelId, GROUP_LINES, 2);
    return { directChannelId, groupChannelId };
  } finally {
    sessionManager.abort();
  }
}

async function findGroup({ channels }: Clients): Promise<bigint | undefined> {
  for (let pageToken = ''; ; ) {
    const page = await channels.listChannels({
      types: [ChannelType.GROUP],
      pageSize: MAX_PAGE_SIZE,
      pageToken,
    });
    const found = page.entries.find(({ channel }) => channel?.name === GROUP_NAME);
    if (found?.channel !== undefined) return found.channel.id;
    if (page.nextPageToken === '') return undefined;
    pageToken = page.nextPageToken;
  }
}

async function createGroup({ channels }: Clients): Promise<bigint> {
  const created = await channels.createChannel({
    name: GROUP_NAME,
    description: 'Demo: rolling out the ERP',
    memberUserIds: [MINH.userId],
    requestId: requestId(0, 0),
  });
  return created.channel?.id ?? 0n;
}

// Request ids are stored for some days only, so that channels with messages are left unchanged.
async function sendMissing(
  users: Readonly<Record<Sender, Clients>>,
  channelId: bigint,
  lines: readonly Line[],
  number: number,
): Promise<void> {
  const { messages } = await users.lan.messages.listMessages({ channelId, pageSize: lines.length });
  if (messages.length >= lines.length) return;
  for (const [index, [sender, content]] of lines.entries()) {
    await users[sender].messages.sendMessage({ channelId, content, requestId: requestId(number, index) });
  }
}

function requestId(channel: number, line: number): string {
  return `00000000-0000-4000-8000-${channel.toString().padStart(6, '0')}${line.toString().padStart(6, '0')}`;
}

function bearer(token: string): Interceptor {
  return (next) => (request) => {
    request.header.set('authorization', `Bearer ${token}`);
    return next(request);
  };
}
