-- Checks membership once. With the policy's check of each row, a poll with 10,000 votes took 55 ms instead of 9 ms.
create or replace function poll_results(_channel_id bigint, _message_id bigint) returns text
language plpgsql stable security definer
set search_path = public, pg_temp
as $$
begin
  if not (app_is_service() or app_is_member(_channel_id)) then
    return null;
  end if;
  return (
    select
      json_build_object(
        'voters', (
          select count(distinct v.user_id)
          from poll_votes v
          where v.tenant_id = app_tenant_id() and v.message_id = _message_id and v.channel_id = _channel_id
        ),
        'options', json_agg(json_build_object('id', o.option_id, 'count', o.votes, 'users', o.users))
      )::text
    from (
      select
        v.option_id,
        count(*) as votes,
        (array_agg(v.user_id order by v.created_at, v.user_id))[:100] as users
      from poll_votes v
      where v.tenant_id = app_tenant_id() and v.message_id = _message_id and v.channel_id = _channel_id
      group by v.option_id
    ) as o
  );
end
$$;
comment on function poll_results(bigint, bigint) is
  'Votes on a poll as JSON: the number of voters, and for each chosen option the number of votes and the first 100 voters. Null if the caller is not a member.';

alter function poll_results(bigint, bigint) owner to discuss_system;
revoke all on function poll_results(bigint, bigint) from public;
grant execute on function poll_results(bigint, bigint) to discuss_service;
