import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MarkupDetector } from './markup.ts';

const isFound = (...chunks: readonly Buffer[]) => {
  const detector = new MarkupDetector();
  for (const chunk of chunks) detector.add(chunk);
  return detector.found;
};

describe('the search for markup', () => {
  it('finds tags and scripts in any case, wherever chunks end', () => {
    for (const text of ['<!DOCTYPE html>', '<sVg/onload=1>', '<IFRAME ', 'href="JavaScript:x"', '<html']) {
      const bytes = Buffer.from(`\0\xff ${text} \xff`, 'latin1');
      for (let end = 0; end <= bytes.length; end++)
        assert.ok(isFound(bytes.subarray(0, end), bytes.subarray(end)), `${text} at ${end}`);
      assert.ok(isFound(...[...bytes].map((byte) => Buffer.from([byte]))), text);
    }
  });

  it('finds nothing in other bytes', () => {
    for (const text of ['', '<', 'a < b, j <p>', '< html', 'javascript', '<scrip', 'a'.repeat(100)])
      assert.ok(!isFound(Buffer.from(text), Buffer.alloc(100_000, '<')), text);
  });
});
