create or replace function activity_text(_type text, _actor_name text, _channel_name text, _emoji text default '') returns text
language sql immutable parallel safe
return case
    when _actor_name = '' then case _type
      when 'MENTION_RECEIVED' then 'You were mentioned'
      when 'REPLY_RECEIVED' then 'There is a reply'
      when 'MESSAGE_SENT' then 'There are new messages'
      when 'REACTION_RECEIVED' then format('There is a reaction %s to your message', _emoji)
      else 'You were added'
    end
    else _actor_name || case _type
      when 'MENTION_RECEIVED' then ' mentioned you'
      when 'REPLY_RECEIVED' then ' replied'
      when 'MESSAGE_SENT' then ' sent a message'
      when 'REACTION_RECEIVED' then format(' reacted %s to your message', _emoji)
      else ' added you'
    end
  end
  || case
    when _channel_name = '' then ''
    when _type = 'ADDED_TO_CHANNEL' then ' to ' || _channel_name
    else ' in ' || _channel_name
  end;
comment on function activity_text(text, text, text, text) is
  'The English sentence of an activity: "Lan mentioned you in Kho vận". Clients in other languages build their own from type and metadata.';
