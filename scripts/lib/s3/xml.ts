/** An XML element with text elements. */
export function xmlOf(name: string, fields: Readonly<Record<string, string>>): string {
  const inner = Object.entries(fields).map(([field, value]) => `<${field}>${escapeXml(value)}</${field}>`);
  return `<${name}>${inner.join('')}</${name}>`;
}

export function escapeXml(text: string): string {
  return text.replace(/[<>&"']/g, (char) => `&#${char.charCodeAt(0)};`);
}

/** The parts of a CompleteMultipartUpload request. */
export function readParts(xml: string): { readonly number: number; readonly etag: string }[] {
  return [...xml.matchAll(/<Part>.*?<\/Part>/gs)].map(([part]) => ({
    number: Number(/<PartNumber>(\d+)</.exec(part)?.[1]),
    etag: (/<ETag>([^<]*)</.exec(part)?.[1] ?? '').replace(/&quot;|&#34;/g, '"'),
  }));
}
