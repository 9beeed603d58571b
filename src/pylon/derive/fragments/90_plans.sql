-- A plan is written while it is worked on. Once it has ended nobody changes it: agents carried it out as it was, and
-- replay compares with it.

create or replace function private.refuse_change_of_plan() returns trigger
language plpgsql set search_path = '' as $$
begin
    raise exception 'plan % has ended as %: % is refused for every role', old.plan_id, old.status, tg_op
        using errcode = 'insufficient_privilege',
              hint = 'Ask for a new plan.';
end
$$;

create or replace trigger refuse_change_of_plan before update or delete on public.plans
    for each row when (old.status in ('SUCCEEDED', 'FAILED', 'ABANDONED'))
    execute function private.refuse_change_of_plan();
alter table public.plans enable always trigger refuse_change_of_plan;
