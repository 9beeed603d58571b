-- Plans of the whole fleet: what was asked for, how each stands, and what it came to.

create type public.plan_status as enum ('QUEUED', 'RUNNING', 'SUCCEEDED', 'FAILED', 'ABANDONED');

create table public.plans (
    id uuid not null default gen_random_uuid(),
    plan_id varchar(100) not null,
    operator_id uuid not null,
    status public.plan_status not null default 'QUEUED',
    trigger varchar(100) not null,
    requested_at timestamptz not null,
    started_at timestamptz,
    finished_at timestamptz,
    as_of timestamptz,
    starts_at timestamptz,
    half_hours integer,
    run_id uuid,
    after_seq bigint,
    input_digest varchar(64),
    input_bytes integer,
    progress jsonb not null default '{}',
    workloads integer,
    sites integer,
    cost_gbp numeric(14,4),
    bound_gbp numeric(14,4),
    gap numeric(14,6),
    gap_of_choice numeric(14,6),
    spare_mwh numeric(10,2),
    result_digest varchar(64),
    result_bytes integer,
    error text,
    simulated jsonb not null default '{}',
    is_simulated boolean not null default false,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint plans_pkey primary key (id),
    constraint plans_operator_id_id_key unique (operator_id, id),
    constraint plans_operator_id_plan_id_key unique (operator_id, plan_id),
    constraint plans_half_hours_range check (half_hours >= 0),
    constraint plans_after_seq_range check (after_seq >= 0),
    constraint plans_input_bytes_range check (input_bytes >= 0),
    constraint plans_workloads_range check (workloads >= 0),
    constraint plans_sites_range check (sites >= 0),
    constraint plans_spare_mwh_range check (spare_mwh >= 0),
    constraint plans_result_bytes_range check (result_bytes >= 0),
    constraint plans_operator_id_fkey foreign key (operator_id) references public.operators (id) on delete restrict,
    constraint plans_run_id_fkey foreign key (run_id) references public.pipeline_runs (id) on delete restrict
);
comment on table public.plans is 'One plan of a whole fleet, from when it was asked for until it ended; agents carry the last good one out.';
comment on column public.plans.id is 'Primary key';
comment on column public.plans.plan_id is 'External id of the plan, P-000001 onwards; unique per operator';
comment on column public.plans.operator_id is 'The operator the row belongs to';
comment on column public.plans.status is 'How it stands';
comment on column public.plans.trigger is 'What asked for it: a command, a client, a pipeline run, arrivals';
comment on column public.plans.requested_at is 'When it was asked for';
comment on column public.plans.started_at is 'When work on it began';
comment on column public.plans.finished_at is 'When it ended, well or not';
comment on column public.plans.as_of is 'The moment at which the fleet was read for it';
comment on column public.plans.starts_at is 'Start of its first half hour';
comment on column public.plans.half_hours is 'How many half hours it covers';
comment on column public.plans.run_id is 'The last committed pipeline run it saw';
comment on column public.plans.after_seq is 'Number of the last decision it knew of';
comment on column public.plans.input_digest is 'The SHA-256 under which plan_inputs keeps all it saw';
comment on column public.plans.input_bytes is 'Size of what it saw, as kept, in bytes';
comment on column public.plans.progress is 'How far it has come: the stage, and done of how many';
comment on column public.plans.workloads is 'How many workloads it planned';
comment on column public.plans.sites is 'At how many data centres';
comment on column public.plans.cost_gbp is 'What the plan costs, by the weights of the agents; wear and delay too [GBP]';
comment on column public.plans.bound_gbp is 'No plan can cost less than this [GBP]';
comment on column public.plans.gap is 'Cost less bound, as a share of the bound';
comment on column public.plans.gap_of_choice is 'The same without what no plan can change: running work, and workloads without any option';
comment on column public.plans.spare_mwh is 'Facility energy that it leaves room for [MWh]';
comment on column public.plans.result_digest is 'SHA-256 of the canonical JSON that plan_results keeps of it';
comment on column public.plans.result_bytes is 'Size of that JSON in bytes';
comment on column public.plans.error is 'Why it failed, or was given up';
comment on column public.plans.simulated is 'Under `quantities`: which of carbon, price, stress were';
comment on column public.plans.is_simulated is 'True when Pylon generated the object; it exists nowhere else';
comment on column public.plans.created_at is 'When the row was created';
comment on column public.plans.updated_at is 'When the row last changed';
create unique index plans_operator_id_idx on public.plans (operator_id) where status in ('QUEUED', 'RUNNING');
create index plans_operator_id_requested_at_idx on public.plans (operator_id, requested_at desc);
create index plans_operator_id_length_plan_id_plan_id_idx on public.plans (operator_id, length(plan_id) desc, plan_id desc);
create index plans_run_id_idx on public.plans (run_id);
create or replace trigger touch_updated_at before update on public.plans for each row execute function private.touch_updated_at();

alter table public.plans enable row level security;
alter table public.plans force row level security;
revoke all on public.plans from public, anon, authenticated, service_role;
drop policy if exists tenant_rows on public.plans;
create policy tenant_rows on public.plans for all to authenticated, pylon_actor using (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid)) with check (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid));
grant select on public.plans to authenticated, service_role;
grant select, insert, update, delete on public.plans to pylon_actor;

create table public.plan_results (
    operator_id uuid not null,
    plan_id uuid not null,
    content text not null,
    created_at timestamptz not null default now(),
    constraint plan_results_pkey primary key (operator_id, plan_id),
    constraint plan_results_operator_id_fkey foreign key (operator_id) references public.operators (id) on delete restrict,
    constraint plan_results_plan_id_fkey foreign key (operator_id, plan_id) references public.plans (operator_id, id) on delete restrict
);
comment on table public.plan_results is 'All that a plan came to: where and when each workload runs, prices, limits and what storage does.';
comment on column public.plan_results.operator_id is 'The operator the row belongs to';
comment on column public.plan_results.plan_id is 'The plan';
comment on column public.plan_results.content is 'Canonical JSON, of which plans.result_digest is the hash';
comment on column public.plan_results.created_at is 'When the row was created';
create or replace trigger refuse_change before update or delete on public.plan_results for each row execute function private.refuse_change();
create or replace trigger refuse_statement before update or delete or truncate on public.plan_results for each statement execute function private.refuse_change();
alter table public.plan_results enable always trigger refuse_change;
alter table public.plan_results enable always trigger refuse_statement;

alter table public.plan_results enable row level security;
alter table public.plan_results force row level security;
revoke all on public.plan_results from public, anon, authenticated, service_role;
drop policy if exists tenant_rows on public.plan_results;
create policy tenant_rows on public.plan_results for all to authenticated, pylon_actor using (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid)) with check (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid));
grant select on public.plan_results to authenticated, service_role;
grant select, insert on public.plan_results to pylon_actor;

alter table public.compute_workloads
    add constraint compute_workloads_plan_id_fkey foreign key (operator_id, plan_id) references public.plans (operator_id, id) on delete restrict;
create index compute_workloads_operator_id_plan_id_idx on public.compute_workloads (operator_id, plan_id);

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
