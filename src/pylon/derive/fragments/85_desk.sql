-- What is kept of an operator in memory (services/view_fleet.py) is good for one revision of its chain head. An action
-- counts the revision up when it enters the operator; whoever writes to the fleet otherwise, an import or a hand at
-- psql, does so by these triggers.

create or replace function private.touch_revision() returns trigger
language plpgsql set search_path = '' as $$
declare
    claimed uuid := (nullif(current_setting('request.jwt.claims', true), '')::jsonb
                     #>> '{app_metadata,operator_id}')::uuid;
begin
    if coalesce(current_setting('pylon.at_desk', true), '') <> 'yes' then
        update public.chain_heads h set revision = h.revision + 1 where claimed is null or h.operator_id = claimed;
    end if;
    return null;
end
$$;

create or replace trigger touch_revision after insert or update or delete on public.compute_workloads
    for each statement execute function private.touch_revision();
create or replace trigger touch_revision after insert or update or delete on public.workload_placements
    for each statement execute function private.touch_revision();
create or replace trigger touch_revision after insert or update or delete on public.load_limits
    for each statement execute function private.touch_revision();
create or replace trigger touch_revision after insert or update or delete on public.tariff_rates
    for each statement execute function private.touch_revision();
