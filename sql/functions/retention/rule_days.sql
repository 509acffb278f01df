create or replace function rule_days(_rule retention_rules, _kind text) returns int
language sql immutable
begin atomic
  select case _kind
    when 'deleted' then (_rule).deleted_days
    when 'activity' then (_rule).activity_days
    when 'export' then (_rule).export_days
    when 'log' then (_rule).log_days
    else (_rule).inactive_days
  end;
end;
comment on function rule_days(retention_rules, text) is
  'The period of a rule for a kind of data: deleted, activity, inactive, export or log. 0: never; null: the rule states none.';

revoke all on function rule_days(retention_rules, text) from public;
grant execute on function rule_days(retention_rules, text) to discuss_system;
