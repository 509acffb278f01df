import { DAVID, HOA, LAN, MINH, TUAN } from './dev-users.ts';

/** The user that writes; undefined for a service that reports by itself. */
export type Author = { readonly userId: bigint; readonly name: string } | undefined;

/** A message of the demo, with what other users do with it. */
export interface Line {
  readonly by: Author;
  readonly text: string;
  readonly mentions?: readonly bigint[];
  readonly reactions?: readonly (readonly [emoji: string, ...by: NonNullable<Author>[]])[];
  readonly replies?: readonly Line[];
  /** Options of a poll, each with the users that choose it. */
  readonly poll?: readonly (readonly [option: string, ...by: NonNullable<Author>[]])[];
}

export const DIRECT_LINES: readonly Line[] = [
  { by: LAN, text: 'Chào anh Minh, báo cáo doanh thu tháng này xong chưa ạ?' },
  { by: MINH, text: 'Gần xong rồi em, chiều nay anh gửi.' },
  { by: LAN, text: 'Dạ vâng. Could you add the figures of order PO-2024-001 as well?' },
  { by: MINH, text: 'Sure, they will be in the second table.', reactions: [['👍', LAN]] },
];

export const GROUP_LINES: readonly Line[] = [
  {
    by: LAN,
    text: 'Chào mọi người, đây là kênh trao đổi về việc triển khai ERP.',
    reactions: [['👋', MINH, HOA, DAVID, TUAN]],
  },
  {
    by: MINH,
    text: 'Good morning! The warehouse module goes live on Monday.',
    reactions: [['🎉', LAN, HOA]],
  },
  {
    by: LAN,
    text: 'Khách hàng đã duyệt kế hoạch chuyển dữ liệu.',
    replies: [
      { by: DAVID, text: 'Which weekend do we use for the migration?' },
      { by: LAN, text: 'The last one of the month. Anh Tuấn khóa sổ xong trước thứ Sáu.' },
      { by: TUAN, text: 'Được, em sẽ khóa sổ vào tối thứ Năm.', reactions: [['✅', LAN]] },
    ],
  },
  { by: MINH, text: 'Great. I will prepare the training material in Vietnamese and English.' },
  { by: LAN, text: 'Cảm ơn anh. Nhớ kiểm tra lại phân quyền cho phòng kế toán nhé.' },
  {
    by: MINH,
    text: '@Phạm Thị Hoa @David Carter khi nào kho và mua hàng có thể học thử?',
    mentions: [HOA.userId, DAVID.userId],
  },
  {
    by: MINH,
    text: 'Buổi học thử nên vào ngày nào? / Which day suits you for the training?',
    poll: [['Thứ Ba / Tuesday', HOA, DAVID], ['Thứ Tư / Wednesday', LAN], ['Thứ Năm / Thursday']],
  },
];

export const ORDER_LINES: readonly Line[] = [
  { by: undefined, text: 'Đơn hàng PO-2024-001 đã được duyệt: 48 máy in, giao trước ngày 30.' },
  { by: DAVID, text: 'The supplier confirms 40 pieces. The other 8 arrive a week later.' },
  {
    by: HOA,
    text: 'Kho nhận được 40 máy rồi ạ, em đã nhập vào hệ thống.',
    reactions: [['👍', DAVID, LAN]],
    replies: [
      { by: LAN, text: 'Có máy nào bị lỗi không em?' },
      { by: HOA, text: 'Dạ không, tất cả đều tốt.' },
    ],
  },
  { by: LAN, text: '@Lê Anh Tuấn anh thanh toán phần đã giao giúp em nhé.', mentions: [TUAN.userId] },
  { by: undefined, text: 'Hóa đơn INV-0815 cho 40 máy in đã được tạo.' },
];

export const ENGLISH_LINES: readonly Line[] = [
  { by: DAVID, text: 'Hi Lan, is the customer fine with two deliveries?' },
  { by: LAN, text: 'Yes, they only need 30 pieces this month.', reactions: [['🙌', DAVID]] },
  { by: DAVID, text: 'Perfect. See https://example.com/PO-2024-001 for the new dates.' },
];
