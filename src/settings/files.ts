import type { Reader } from './reader.ts';

/** Settings of attachments. */
export function filesSettings(read: Reader) {
  return {
    storage: {
      bucket: read.optional(
        'S3_BUCKET',
        'bucket for files, in an S3-compatible store, private and with CORS for WEB_ORIGINS. Without it, AttachmentService returns UNAVAILABLE',
      ),
      endpoint: read.optional('S3_ENDPOINT', 'address of the store', 'AWS'),
      publicEndpoint: read.optional(
        'S3_PUBLIC_ENDPOINT',
        'address by which clients reach the store',
        'S3_ENDPOINT',
      ),
      region: read.text('S3_REGION', 'region of the store', 'us-east-1'),
      pathStyle: read.flag(
        'S3_PATH_STYLE',
        'whether the bucket is part of the path instead of the host name',
        true,
      ),
      accessKeyId: read.optional(
        'S3_ACCESS_KEY_ID',
        'key that may read, write and delete objects of the bucket',
        'role of the machine',
      ),
      secretAccessKey: read.optional('S3_SECRET_ACCESS_KEY', 'secret of that key', 'role of the machine'),
      caFile: read.optional(
        'NODE_EXTRA_CA_CERTS',
        'file with certificates of further authorities, for example that of the store; read by Node itself',
      ),
      timeoutMs: read.count('S3_TIMEOUT_MS', 'time limit for a request to the store', 10_000, 1),
    },
    attachment: {
      maxBytes: read.count('ATTACHMENT_MAX_BYTES', 'size of a file', 104_857_600, 1),
      tenantMb: read.count('ATTACHMENT_TENANT_MB', 'size of all files of a tenant together, in MiB', 102_400),
      userMb: read.count('ATTACHMENT_USER_MB', 'size of all files of a user together, in MiB', 10_240),
      uploadUrlMs: read.count(
        'ATTACHMENT_UPLOAD_URL_MS',
        'time for which a URL for uploading can be used, also after its user has lost access to the channel',
        3_600_000,
        1_000,
      ),
      downloadUrlMs: read.count('ATTACHMENT_DOWNLOAD_URL_MS', 'the same for downloading', 300_000, 1_000),
      pendingForUploader: read.flag(
        'ATTACHMENT_PENDING_FOR_UPLOADER',
        'whether uploaders can download their files before the malware scan',
        true,
      ),
      abandonedHours: read.count(
        'ATTACHMENT_ABANDONED_HOURS',
        'age at which an upload that was not sent is removed',
        24,
        1,
      ),
      purgeIntervalMs: read.count(
        'ATTACHMENT_PURGE_INTERVAL_MS',
        'interval at which objects of removed files are deleted from the store',
        5_000,
      ),
    },
    scan: {
      address: read.optional(
        'CLAMD_ADDR',
        '`host:port` or socket path of clamd, which scans files for malware. Without it files stay PENDING, and only their uploaders can download them',
      ),
      concurrency: read.count('SCAN_CONCURRENCY', 'files that an instance scans at the same time', 2, 1),
      intervalMs: read.count('SCAN_INTERVAL_MS', 'interval at which instances look for files to scan', 1_000),
      timeoutMs: read.count('SCAN_TIMEOUT_MS', 'time limit of one scan', 120_000, 1),
      attempts: read.count(
        'SCAN_ATTEMPTS',
        'scans of one file that may fail, after which its status is ERROR',
        5,
        1,
      ),
    },
  };
}
