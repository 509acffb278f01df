import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { type App, type As, app } from '../../test/kit/app.ts';
import { memberFixture } from '../../test/kit/member-fixture.ts';
import { fieldsOf, rejects } from '../../test/kit/rejects.ts';

const user = (id: number): As => ({ userId: BigInt(id), tenantId: 1n });
const [ana, binh, stranger] = [user(1), user(2), user(99)];
const foreigner = { userId: 1n, tenantId: 2n };
const crm = { userId: 0n, tenantId: 1n, roles: ['discuss.service'] };
const crmForStranger = { ...crm, userId: stranger.userId };

describe('MemberService', () => {
  let the: App;

  before(async () => {
    the = await app();
    await the.start();
  });
  after(() => the.close());

  const { members, group, own } = memberFixture(() => the);

  describe('ListMembers', () => {
    it('lists by role and then by user, in pages of any size', async () => {
      const channelId = await group({
        9: 'GUEST',
        8: 'MEMBER',
        7: 'ADMIN',
        6: 'MEMBER',
        5: 'ADMIN',
        4: 'OWNER',
        3: 'GUEST',
      });
      await members(ana).removeMember({ channelId, userId: 6n });
      const expected = [1n, 4n, 5n, 7n, 8n, 3n, 9n];
      for (const pageSize of [1, 2, 3, 7, 100]) {
        const listed: bigint[] = [];
        let pageToken = '';
        do {
          const page = await members(user(9), 1, 'web').listMembers({ channelId, pageSize, pageToken });
          assert.ok(page.members.length <= pageSize);
          listed.push(...page.members.map(({ userId }) => userId));
          pageToken = page.nextPageToken;
        } while (pageToken !== '');
        assert.deepEqual(listed, expected, `pages of ${pageSize}`);
      }
    });

    it('returns nicknames and join times', async () => {
      const channelId = await group({ 2: 'MEMBER' });
      await the.owner`
        update channel_members set metadata = '{"nickname": "Sếp"}' where channel_id = ${channelId} and user_id = 2
      `;
      const listed = await members(ana).listMembers({ channelId });
      const membership = await own(channelId, binh);
      assert.equal(listed.members[1]?.nickname, 'Sếp');
      assert.deepEqual(listed.members[1]?.joinTime, membership?.joinTime);
      assert.deepEqual(membership?.metadata, { nickname: 'Sếp' });
    });

    it('is allowed for members, and for services without a user', async () => {
      const [shown, hidden] = [await group(), await group({}, true)];
      await rejects(
        members(stranger).listMembers({ channelId: shown }),
        Code.PermissionDenied,
        'ROLE_TOO_LOW',
      );
      for (const as of [stranger, foreigner, crmForStranger])
        await rejects(members(as).listMembers({ channelId: hidden }), Code.NotFound, 'CHANNEL_NOT_FOUND');
      const { members: listed } = await members(crm).listMembers({ channelId: hidden });
      assert.equal(listed.length, 1);
      assert.deepEqual(await fieldsOf(members(ana).listMembers({ channelId: shown, pageToken: 'x' })), [
        'page_token',
      ]);
    });
  });
});
