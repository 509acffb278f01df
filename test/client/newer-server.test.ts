import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Store } from '../../client/src/store.ts';

test('values, changes and messages of a newer server do not disturb an older client', () => {
  const store = new Store('1');
  const receive = (json: string) => store.apply(JSON.parse(json));
  receive(
    '{"started":{"channels":[{"channelId":"5","startSeq":"7","headSeq":"7","membership":{"channelId":"5"}}]}}',
  );
  receive('{"somethingNew":{"channelId":"5"}}');
  receive('{"event":{"channelId":"5","seq":"8","somethingNew":{"messageId":"3"}}}');
  receive(
    '{"event":{"channelId":"5","seq":"9","messageCreated":{"message":{"id":"10","senderId":"2","type":"MESSAGE_TYPE_NEW"}}}}',
  );
  receive(
    '{"event":{"channelId":"5","seq":"10","messageCreated":{"message":{"id":"9","senderId":"2","contentState":99}}}}',
  );
  const state = store.channel('5');
  assert.deepEqual([state.seq, state.isOutdated, state.membership?.unreadCount], ['10', false, 2]);
  assert.deepEqual([...state.log.messages.keys()], ['10', '9']);
});
