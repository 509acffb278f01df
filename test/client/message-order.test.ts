import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { Store } from '../../client/src/store.ts';

describe('the store of a client whose stream receives changes in another order', () => {
  let store: Store;
  const receive = (response: object) => store.apply(JSON.parse(JSON.stringify(response)));
  const marker = (lastReadMessageId: string, version?: number) =>
    receive({ readMarkerMoved: { channelId: '5', lastReadMessageId, version } });
  const settings = (pinned: boolean, version?: number) =>
    receive({ membershipChanged: { membership: { channelId: '5', pinned, version } } });
  const shown = () => {
    const { membership } = store.channel('5');
    return [membership?.lastReadMessageId, membership?.pinned ?? false, membership?.version];
  };

  beforeEach(() => {
    store = new Store('1');
    const membership = { channelId: '5', lastReadMessageId: '10', version: 1 };
    receive({ started: { channels: [{ channelId: '5', startSeq: '7', headSeq: '7', membership }] } });
  });

  it('keeps the newer of two read markers, and of two settings', () => {
    marker('30', 3);
    marker('20', 2);
    assert.deepEqual(shown(), ['30', false, 3]);
    settings(true, 5);
    settings(false, 4);
    assert.deepEqual(shown(), ['30', true, 5]);
  });

  it('takes over settings that are older than the read marker only, and the other way round', () => {
    marker('30', 3);
    settings(true, 2);
    assert.deepEqual(shown(), ['30', true, 3]);
    settings(false, 5);
    marker('20', 4);
    assert.deepEqual(shown(), ['20', false, 5]);
  });

  it('ignores a membership that was read before a change on the stream, unless events were lost', () => {
    marker('30', 3);
    const earlier = { channelId: '5', lastReadMessageId: '20', version: 2 };
    store.loadChannel({ id: '5' }, '7', earlier);
    assert.deepEqual(shown(), ['30', false, 3]);
    store.loadChannel({ id: '5' }, '7', { ...earlier, lastReadMessageId: '40', version: 4 });
    assert.deepEqual(shown(), ['40', false, 4]);
    receive({ reset: { channelId: '5', headSeq: '9' } });
    store.loadChannel({ id: '5' }, '9', earlier);
    assert.deepEqual(shown(), ['20', false, 2]);
  });

  it('takes over what a server without versions sends', () => {
    marker('30');
    settings(true);
    assert.deepEqual(shown(), ['30', true, 1]);
  });
});
