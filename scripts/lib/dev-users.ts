/** Users of the demo tenant as which visitors of the page sign in. */
export const LAN = {
  userId: 101n,
  tenantId: 1n,
  name: 'Nguyễn Thị Lan',
  title: { vi: 'Quản lý bán hàng', en: 'Sales manager' },
};
export const MINH = {
  userId: 102n,
  tenantId: 1n,
  name: 'Trần Văn Minh',
  title: { vi: 'Phân tích nghiệp vụ', en: 'Business analyst' },
};
export const HOA = {
  userId: 103n,
  tenantId: 1n,
  name: 'Phạm Thị Hoa',
  title: { vi: 'Thủ kho', en: 'Warehouse' },
};
export const DAVID = {
  userId: 104n,
  tenantId: 1n,
  name: 'David Carter',
  title: { vi: 'Mua hàng', en: 'Purchasing' },
};
export const TUAN = {
  userId: 105n,
  tenantId: 1n,
  name: 'Lê Anh Tuấn',
  title: { vi: 'Kế toán', en: 'Accounting' },
};

export const PAGE_USERS = [LAN, MINH, HOA, DAVID, TUAN] as const;

export const STRANGER = { userId: 201n, tenantId: 2n, name: 'Alex Doe' };

/** More users of `npm run demo`. */
export const EXTRA_USERS = [
  'Camille Durand',
  'Budi Santoso',
  '佐藤 花子',
  'Lucía Fernández',
  'Alice',
  'Quang',
].map((name, index) => ({ userId: 111n + BigInt(index), tenantId: LAN.tenantId, name }));
