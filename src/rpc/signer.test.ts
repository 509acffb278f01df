import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSigner } from './signer.ts';

const [older, newer, other] = [1, 2, 3].map((fill) => Buffer.alloc(32, fill));
const text = Buffer.from('["1","2"]');
const context = Buffer.from('caller and arguments');

function keys(...given: (Buffer | undefined)[]): Buffer[] {
  return given.filter((key) => key !== undefined);
}

test('signed bytes verify with each key of a rotation, and with no other key', () => {
  const signed = createSigner(keys(older), 'page token').sign(text, context);
  for (const rotation of [keys(older), keys(older, newer), keys(newer, older)])
    assert.deepEqual(createSigner(rotation, 'page token').verify(signed, context), text);
  assert.equal(createSigner(keys(newer), 'page token').verify(signed, context), undefined);
  assert.equal(createSigner(keys(other), 'page token').verify(signed, context), undefined);
});

test('signed bytes do not verify for another purpose or context, or with one bit changed', () => {
  const signer = createSigner(keys(older), 'page token');
  const signed = signer.sign(text, context);
  assert.equal(createSigner(keys(older), 'relay').verify(signed, context), undefined);
  assert.equal(signer.verify(signed, Buffer.from('another context')), undefined);
  for (let index = 0; index < signed.length; index += 1) {
    const changed = Buffer.from(signed);
    changed.writeUInt8((changed.at(index) ?? 0) ^ 1, index);
    assert.equal(signer.verify(changed, context), undefined, `byte ${index}`);
  }
  for (let length = 0; length < signed.length; length += 1)
    assert.equal(signer.verify(signed.subarray(0, length), context), undefined, `${length} bytes`);
});

test('context and bytes do not run into each other', () => {
  const signer = createSigner(keys(older), 'page token');
  const signed = signer.sign(Buffer.from('bc'), Buffer.from('a'));
  const moved = Buffer.concat([signed.subarray(0, 16), Buffer.from('c')]);
  assert.equal(signer.verify(moved, Buffer.from('ab')), undefined);
});
