import { Code } from '#gen/google/rpc/code_pb.ts';
import type { ErrorReason } from '#gen/serp/discuss/v1/error_pb.ts';

export type ReasonName = keyof typeof ErrorReason;
export type Language = 'en' | 'vi';

/** The code of a reason, the keys of its metadata, and its text for users, in which `{key}` is a value of the metadata. */
type Definition = {
  readonly code: Code;
  readonly metadata: readonly string[];
} & Readonly<Record<Language, string>>;

/** Every reason of `error.proto`, which documents the keys. */
export const reasons = {
  UNSPECIFIED: {
    code: Code.CANCELLED,
    metadata: [],
    en: 'The request was cancelled.',
    vi: 'Yêu cầu đã bị hủy.',
  },
  TOKEN_INVALID: {
    code: Code.UNAUTHENTICATED,
    metadata: [],
    en: 'You are not signed in. Sign in again.',
    vi: 'Phiên đăng nhập không hợp lệ. Vui lòng đăng nhập lại.',
  },
  TOKEN_EXPIRED: {
    code: Code.UNAUTHENTICATED,
    metadata: ['expire_time'],
    en: 'Your session has expired. Sign in again.',
    vi: 'Phiên đăng nhập đã hết hạn. Vui lòng đăng nhập lại.',
  },
  ACCESS_REVOKED: {
    code: Code.UNAUTHENTICATED,
    metadata: ['tenant_id', 'user_id'],
    en: 'Your access was revoked. Sign in again.',
    vi: 'Quyền truy cập của bạn đã bị thu hồi. Vui lòng đăng nhập lại.',
  },
  CALLER_NOT_ALLOWED: {
    code: Code.PERMISSION_DENIED,
    metadata: ['caller', 'tenant_id', 'channel_id', 'message_id'],
    en: 'You are not allowed to do this.',
    vi: 'Bạn không được phép thực hiện thao tác này.',
  },
  ROLE_TOO_LOW: {
    code: Code.PERMISSION_DENIED,
    metadata: ['channel_id', 'required_role', 'role', 'member_status'],
    en: 'You do not have permission to do this in the channel.',
    vi: 'Bạn không có quyền thực hiện thao tác này trong kênh.',
  },
  FIELD_INVALID: {
    code: Code.INVALID_ARGUMENT,
    metadata: ['field'],
    en: 'The request contains invalid data ({field}).',
    vi: 'Yêu cầu có dữ liệu không hợp lệ ({field}).',
  },
  CHANNEL_NOT_FOUND: {
    code: Code.NOT_FOUND,
    metadata: ['channel_id', 'entity_type', 'entity_id'],
    en: 'The channel does not exist, or you do not have access to it.',
    vi: 'Kênh không tồn tại hoặc bạn không có quyền truy cập.',
  },
  MESSAGE_NOT_FOUND: {
    code: Code.NOT_FOUND,
    metadata: ['channel_id', 'message_id'],
    en: 'The message does not exist, or you do not have access to it.',
    vi: 'Tin nhắn không tồn tại hoặc bạn không có quyền truy cập.',
  },
  MEMBER_NOT_FOUND: {
    code: Code.NOT_FOUND,
    metadata: ['channel_id', 'user_id'],
    en: 'The user is not a member of the channel.',
    vi: 'Người dùng không phải là thành viên của kênh.',
  },
  USER_NOT_FOUND: {
    code: Code.NOT_FOUND,
    metadata: ['channel_id', 'user_ids', 'user_count'],
    en: 'Some of the users do not belong to your organization.',
    vi: 'Một số người dùng không thuộc tổ chức của bạn.',
  },
  CHANNEL_ARCHIVED: {
    code: Code.FAILED_PRECONDITION,
    metadata: ['channel_id', 'merged_into_channel_id'],
    en: 'The channel is archived and can no longer be changed.',
    vi: 'Kênh đã được lưu trữ nên không thể thay đổi.',
  },
  CHANNEL_MERGED: {
    code: Code.FAILED_PRECONDITION,
    metadata: ['channel_id', 'merged_into_channel_id'],
    en: 'The discussion has moved to another channel.',
    vi: 'Cuộc thảo luận đã được chuyển sang kênh khác.',
  },
  CHANNEL_IS_DIRECT: {
    code: Code.FAILED_PRECONDITION,
    metadata: ['channel_id'],
    en: 'This is not possible in a direct conversation.',
    vi: 'Không thể thực hiện thao tác này trong cuộc trò chuyện riêng.',
  },
  CHANNEL_FULL: {
    code: Code.FAILED_PRECONDITION,
    metadata: ['channel_id', 'limit', 'member_count'],
    en: 'A channel can have at most {limit} members.',
    vi: 'Mỗi kênh chỉ có thể có tối đa {limit} thành viên.',
  },
  CHANNEL_TOO_LARGE: {
    code: Code.FAILED_PRECONDITION,
    metadata: ['channel_id', 'limit', 'member_count'],
    en: 'This is only available in channels of at most {limit} members.',
    vi: 'Tính năng này chỉ dùng được trong kênh có tối đa {limit} thành viên.',
  },
  LAST_OWNER: {
    code: Code.FAILED_PRECONDITION,
    metadata: ['channel_id', 'user_id'],
    en: 'A channel must have an owner. Make another member the owner first.',
    vi: 'Kênh phải có chủ sở hữu. Hãy chuyển quyền sở hữu cho thành viên khác trước.',
  },
  MESSAGE_DELETED: {
    code: Code.FAILED_PRECONDITION,
    metadata: ['channel_id', 'message_id'],
    en: 'The message was deleted.',
    vi: 'Tin nhắn đã bị xóa.',
  },
  MESSAGE_TYPE_UNSUPPORTED: {
    code: Code.FAILED_PRECONDITION,
    metadata: ['channel_id', 'message_id', 'message_type'],
    en: 'This is not possible for this type of message.',
    vi: 'Không thể thực hiện thao tác này với loại tin nhắn này.',
  },
  EDIT_WINDOW_EXPIRED: {
    code: Code.FAILED_PRECONDITION,
    metadata: ['channel_id', 'message_id', 'limit_hours'],
    en: 'A message can only be edited within {limit_hours} hours after it was sent.',
    vi: 'Chỉ có thể chỉnh sửa tin nhắn trong vòng {limit_hours} giờ sau khi gửi.',
  },
  REACTION_LIMIT: {
    code: Code.FAILED_PRECONDITION,
    metadata: ['channel_id', 'message_id', 'kind_limit', 'user_limit'],
    en: 'The message cannot have more reactions.',
    vi: 'Tin nhắn đã đạt giới hạn số lượt bày tỏ cảm xúc.',
  },
  POLL_CLOSED: {
    code: Code.FAILED_PRECONDITION,
    metadata: ['channel_id', 'message_id', 'close_time'],
    en: 'The poll is closed.',
    vi: 'Cuộc bình chọn đã kết thúc.',
  },
  PIN_LIMIT: {
    code: Code.FAILED_PRECONDITION,
    metadata: ['channel_id', 'limit'],
    en: 'A channel can have at most {limit} pinned messages. Unpin another one first.',
    vi: 'Mỗi kênh chỉ được ghim tối đa {limit} tin nhắn. Hãy bỏ ghim một tin nhắn khác trước.',
  },
  REQUEST_ID_REUSED: {
    code: Code.ALREADY_EXISTS,
    metadata: ['request_id'],
    en: 'This request was already sent with other content.',
    vi: 'Yêu cầu này đã được gửi trước đó với nội dung khác.',
  },
  RATE_LIMITED: {
    code: Code.RESOURCE_EXHAUSTED,
    metadata: ['subject', 'limit', 'retry_delay_ms'],
    en: 'Too many requests. Try again in a moment.',
    vi: 'Bạn đang thao tác quá nhanh. Vui lòng thử lại sau giây lát.',
  },
  OVERLOADED: {
    code: Code.RESOURCE_EXHAUSTED,
    metadata: ['limit', 'retry_delay_ms'],
    en: 'The service is busy. Try again in a moment.',
    vi: 'Hệ thống đang quá tải. Vui lòng thử lại sau giây lát.',
  },
  REQUEST_TOO_LARGE: {
    code: Code.RESOURCE_EXHAUSTED,
    metadata: ['limit_bytes'],
    en: 'The request is larger than {limit_bytes} bytes.',
    vi: 'Yêu cầu vượt quá kích thước tối đa là {limit_bytes} byte.',
  },
  DATABASE_UNAVAILABLE: {
    code: Code.UNAVAILABLE,
    metadata: ['retry_delay_ms'],
    en: 'The service is unavailable at the moment. Try again in a moment.',
    vi: 'Dịch vụ tạm thời không khả dụng. Vui lòng thử lại sau giây lát.',
  },
  SIGNING_KEYS_UNAVAILABLE: {
    code: Code.UNAVAILABLE,
    metadata: ['retry_delay_ms'],
    en: 'Your session cannot be verified at the moment. Try again in a moment.',
    vi: 'Hiện chưa thể xác minh phiên đăng nhập. Vui lòng thử lại sau giây lát.',
  },
  SERVER_DRAINING: {
    code: Code.UNAVAILABLE,
    metadata: ['retry_delay_ms'],
    en: 'The server is restarting. Connect again.',
    vi: 'Máy chủ đang khởi động lại. Vui lòng kết nối lại.',
  },
  REVOCATION_PENDING: {
    code: Code.UNAVAILABLE,
    metadata: ['retry_delay_ms'],
    en: 'Access is not revoked everywhere yet. Try again in a moment.',
    vi: 'Quyền truy cập chưa được thu hồi trên toàn hệ thống. Vui lòng thử lại sau giây lát.',
  },
  CONFLICT: {
    code: Code.ABORTED,
    metadata: ['retry_delay_ms'],
    en: 'Something else was changed at the same time. Try again.',
    vi: 'Có thay đổi khác xảy ra cùng lúc. Vui lòng thử lại.',
  },
  ETAG_MISMATCH: {
    code: Code.ABORTED,
    metadata: ['channel_id', 'current_etag'],
    en: 'Someone else has changed this in the meantime. Reload it and try again.',
    vi: 'Dữ liệu đã được người khác thay đổi. Vui lòng tải lại và thử lại.',
  },
  ATTACHMENT_NOT_FOUND: {
    code: Code.NOT_FOUND,
    metadata: ['channel_id', 'attachment_id'],
    en: 'The file does not exist, or you do not have access to it.',
    vi: 'Tệp không tồn tại hoặc bạn không có quyền truy cập.',
  },
  ATTACHMENT_NOT_CLEAN: {
    code: Code.FAILED_PRECONDITION,
    metadata: ['channel_id', 'attachment_id', 'scan_status'],
    en: 'The file has not passed the malware scan.',
    vi: 'Tệp chưa vượt qua bước quét mã độc.',
  },
  ATTACHMENT_SENT: {
    code: Code.FAILED_PRECONDITION,
    metadata: ['channel_id', 'attachment_id'],
    en: 'The file is already part of a message.',
    vi: 'Tệp đã được gửi trong một tin nhắn.',
  },
  UPLOAD_INCOMPLETE: {
    code: Code.FAILED_PRECONDITION,
    metadata: ['channel_id', 'attachment_id'],
    en: 'The file was not uploaded completely. Upload it again.',
    vi: 'Tệp chưa được tải lên đầy đủ. Vui lòng tải lên lại.',
  },
  STORAGE_QUOTA_EXCEEDED: {
    code: Code.RESOURCE_EXHAUSTED,
    metadata: ['subject', 'limit_bytes'],
    en: 'There is no space left for files. Delete some files first.',
    vi: 'Đã hết dung lượng lưu trữ tệp. Vui lòng xóa bớt tệp.',
  },
  STORAGE_UNAVAILABLE: {
    code: Code.UNAVAILABLE,
    metadata: ['retry_delay_ms'],
    en: 'Files are unavailable at the moment. Try again in a moment.',
    vi: 'Hiện chưa thể truy cập tệp. Vui lòng thử lại sau giây lát.',
  },
  DIRECTORY_UNAVAILABLE: {
    code: Code.UNAVAILABLE,
    metadata: ['retry_delay_ms'],
    en: 'Users cannot be added at the moment. Try again in a moment.',
    vi: 'Hiện chưa thể thêm người dùng. Vui lòng thử lại sau giây lát.',
  },
  ENCRYPTION_NOT_CONFIGURED: {
    code: Code.FAILED_PRECONDITION,
    metadata: ['channel_id'],
    en: 'Channels cannot be encrypted on this server.',
    vi: 'Máy chủ này không hỗ trợ mã hóa kênh.',
  },
  ENCRYPTION_KEY_UNAVAILABLE: {
    code: Code.UNAVAILABLE,
    metadata: ['channel_id', 'retry_delay_ms'],
    en: 'The messages of this channel cannot be decrypted at the moment. Try again in a moment.',
    vi: 'Hiện không thể giải mã tin nhắn của kênh này. Vui lòng thử lại sau giây lát.',
  },
  CONTENT_CORRUPTED: {
    code: Code.DATA_LOSS,
    metadata: ['channel_id', 'message_id'],
    en: 'The content of the message is damaged.',
    vi: 'Nội dung tin nhắn đã bị hỏng.',
  },
  DEADLINE_EXCEEDED: {
    code: Code.DEADLINE_EXCEEDED,
    metadata: ['timeout_ms'],
    en: 'The request took too long. Try again.',
    vi: 'Yêu cầu mất quá nhiều thời gian. Vui lòng thử lại.',
  },
  LEGAL_HOLD: {
    code: Code.FAILED_PRECONDITION,
    metadata: ['tenant_id', 'hold_id'],
    en: 'A legal hold does not permit this.',
    vi: 'Lệnh lưu giữ pháp lý không cho phép thao tác này.',
  },
  INTERNAL: {
    code: Code.INTERNAL,
    metadata: ['call_id'],
    en: 'Something went wrong. Contact support and give the code {call_id}.',
    vi: 'Đã xảy ra lỗi. Vui lòng liên hệ bộ phận hỗ trợ và cung cấp mã {call_id}.',
  },
} as const satisfies Readonly<Record<ReasonName, Definition>>;

export type MetadataKey = (typeof reasons)[ReasonName]['metadata'][number];
