-- Deciding: placements, dispatches, load limits and outcomes; a log whose rows are chained; idempotency keys; and
-- what planners saw, kept under its hash.

alter table public.orchestration_decisions
    add column storage_asset_id uuid,
    add column inputs jsonb not null default '{}',
    add column effect jsonb not null default '{}',
    add column seq bigint not null,
    add column content text not null,
    add column prev_hash varchar(64) not null,
    add column hash varchar(64) not null;
comment on column public.orchestration_decisions.storage_asset_id is 'The storage asset decided about';
comment on column public.orchestration_decisions.inputs is 'What the agent saw: from it the decision recomputes';
comment on column public.orchestration_decisions.effect is 'The action performed, and what it changed';
comment on column public.orchestration_decisions.seq is 'Number in the operator''s log, without gaps';
comment on column public.orchestration_decisions.content is 'Canonical JSON of all the columns above: the bytes that are hashed';
comment on column public.orchestration_decisions.prev_hash is 'Hash of the decision before; zeros for the first';
comment on column public.orchestration_decisions.hash is 'SHA-256 of prev_hash, seq and content, a line each';
alter table public.orchestration_decisions add constraint orchestration_decisions_operator_id_seq_key unique (operator_id, seq);
alter table public.orchestration_decisions
    add constraint orchestration_decisions_seq_range check (seq >= 1);
alter table public.orchestration_decisions
    add constraint orchestration_decisions_storage_asset_id_fkey foreign key (operator_id, storage_asset_id) references public.storage_assets (operator_id, id) on delete restrict;
create index orchestration_decisions_operator_id_storage_asset_id_idx on public.orchestration_decisions (operator_id, storage_asset_id);

alter table public.compute_workloads add column status_reason text;
comment on column public.compute_workloads.status_reason is 'Why it has this status, where whoever gave it said so';

create table public.chain_heads (
    operator_id uuid not null,
    seq bigint not null default 0,
    hash varchar(64) not null,
    revision bigint not null default 0,
    updated_at timestamptz not null default now(),
    constraint chain_heads_pkey primary key (operator_id),
    constraint chain_heads_seq_range check (seq >= 0),
    constraint chain_heads_revision_range check (revision >= 0),
    constraint chain_heads_operator_id_fkey foreign key (operator_id) references public.operators (id) on delete restrict
);
comment on table public.chain_heads is 'The end of one operator''s log; whoever changes anything of the operator holds its lock.';
comment on column public.chain_heads.operator_id is 'The operator the row belongs to';
comment on column public.chain_heads.seq is 'Number of the last decision; 0 before the first';
comment on column public.chain_heads.hash is 'Hash of the last decision; zeros before the first';
comment on column public.chain_heads.revision is 'Grows with every action, with a decision or without';
comment on column public.chain_heads.updated_at is 'When the row last changed';
create or replace trigger touch_updated_at before update on public.chain_heads for each row execute function private.touch_updated_at();

alter table public.chain_heads enable row level security;
alter table public.chain_heads force row level security;
revoke all on public.chain_heads from public, anon, authenticated, service_role;
drop policy if exists tenant_rows on public.chain_heads;
create policy tenant_rows on public.chain_heads for all to authenticated, pylon_actor using (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid)) with check (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid));
grant select on public.chain_heads to authenticated, service_role;
grant select, insert, update, delete on public.chain_heads to pylon_actor;

create table public.idempotency_keys (
    operator_id uuid not null,
    key varchar(100) not null,
    action varchar(100) not null,
    request_digest varchar(64) not null,
    response jsonb not null,
    created_at timestamptz not null default now(),
    constraint idempotency_keys_pkey primary key (operator_id, key),
    constraint idempotency_keys_operator_id_fkey foreign key (operator_id) references public.operators (id) on delete restrict
);
comment on table public.idempotency_keys is 'An action that was performed under a key its client gave, and what was answered.';
comment on column public.idempotency_keys.operator_id is 'The operator the row belongs to';
comment on column public.idempotency_keys.key is 'The client''s key; unique per operator';
comment on column public.idempotency_keys.action is 'The action';
comment on column public.idempotency_keys.request_digest is 'SHA-256 of the canonical parameters';
comment on column public.idempotency_keys.response is 'What was answered';
comment on column public.idempotency_keys.created_at is 'When the row was created';
create index idempotency_keys_operator_id_created_at_idx on public.idempotency_keys (operator_id, created_at);

alter table public.idempotency_keys enable row level security;
alter table public.idempotency_keys force row level security;
revoke all on public.idempotency_keys from public, anon, authenticated, service_role;
drop policy if exists tenant_rows on public.idempotency_keys;
create policy tenant_rows on public.idempotency_keys for all to authenticated, pylon_actor using (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid)) with check (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid));
grant select on public.idempotency_keys to authenticated, service_role;
grant select, insert, update, delete on public.idempotency_keys to pylon_actor;

create table public.plan_inputs (
    operator_id uuid not null,
    digest varchar(64) not null,
    content text not null,
    created_at timestamptz not null default now(),
    constraint plan_inputs_pkey primary key (operator_id, digest),
    constraint plan_inputs_operator_id_fkey foreign key (operator_id) references public.operators (id) on delete restrict
);
comment on table public.plan_inputs is 'What planners saw, kept once under the hash of its canonical bytes; decisions name it.';
comment on column public.plan_inputs.operator_id is 'The operator the row belongs to';
comment on column public.plan_inputs.digest is 'SHA-256 of `content`';
comment on column public.plan_inputs.content is 'Canonical JSON';
comment on column public.plan_inputs.created_at is 'When the row was created';
create index plan_inputs_operator_id_created_at_idx on public.plan_inputs (operator_id, created_at);
create or replace trigger refuse_change before update or delete on public.plan_inputs for each row execute function private.refuse_change();
create or replace trigger refuse_statement before update or delete or truncate on public.plan_inputs for each statement execute function private.refuse_change();
alter table public.plan_inputs enable always trigger refuse_change;
alter table public.plan_inputs enable always trigger refuse_statement;

alter table public.plan_inputs enable row level security;
alter table public.plan_inputs force row level security;
revoke all on public.plan_inputs from public, anon, authenticated, service_role;
drop policy if exists tenant_rows on public.plan_inputs;
create policy tenant_rows on public.plan_inputs for all to authenticated, pylon_actor using (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid)) with check (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid));
grant select on public.plan_inputs to authenticated, service_role;
grant select, insert on public.plan_inputs to pylon_actor;

create table public.decision_outcomes (
    operator_id uuid not null,
    decision_id uuid not null,
    workload_id uuid,
    recorded_at timestamptz not null,
    decided_energy_kwh numeric(14,2),
    decided_carbon_gco2 numeric(16,2),
    decided_cost_gbp numeric(14,4),
    actual_energy_kwh numeric(14,2),
    actual_carbon_gco2 numeric(16,2),
    actual_cost_gbp numeric(14,4),
    baseline_carbon_gco2 numeric(16,2),
    baseline_cost_gbp numeric(14,4),
    baseline_infeasible varchar(100),
    carbon_saved_gco2 numeric(16,2),
    cost_saved_gbp numeric(14,4),
    detail jsonb not null default '{}',
    is_simulated boolean not null default false,
    constraint decision_outcomes_pkey primary key (operator_id, decision_id),
    constraint decision_outcomes_decided_energy_kwh_range check (decided_energy_kwh >= 0),
    constraint decision_outcomes_actual_energy_kwh_range check (actual_energy_kwh >= 0),
    constraint decision_outcomes_operator_id_fkey foreign key (operator_id) references public.operators (id) on delete restrict,
    constraint decision_outcomes_decision_id_fkey foreign key (operator_id, decision_id) references public.orchestration_decisions (operator_id, id) on delete restrict,
    constraint decision_outcomes_workload_id_fkey foreign key (operator_id, workload_id) references public.compute_workloads (operator_id, id) on delete restrict
);
comment on table public.decision_outcomes is 'What came of a decision, set beside what it expected.';
comment on column public.decision_outcomes.operator_id is 'The operator the row belongs to';
comment on column public.decision_outcomes.decision_id is 'The decision';
comment on column public.decision_outcomes.workload_id is 'The workload it placed';
comment on column public.decision_outcomes.recorded_at is 'When the outcome was known';
comment on column public.decision_outcomes.decided_energy_kwh is 'Energy expected [kWh]';
comment on column public.decision_outcomes.decided_carbon_gco2 is 'Carbon expected [gCO2]';
comment on column public.decision_outcomes.decided_cost_gbp is 'Cost of energy, wear and moving, as expected [GBP]';
comment on column public.decision_outcomes.actual_energy_kwh is 'Facility energy drawn [kWh]';
comment on column public.decision_outcomes.actual_carbon_gco2 is 'Carbon emitted [gCO2]';
comment on column public.decision_outcomes.actual_cost_gbp is 'Cost of energy, wear and moving [GBP]';
comment on column public.decision_outcomes.baseline_carbon_gco2 is 'Carbon of the baseline (run now at origin; idle), as signals turned out [gCO2]';
comment on column public.decision_outcomes.baseline_cost_gbp is 'Energy cost of the baseline, as signals turned out [GBP]';
comment on column public.decision_outcomes.baseline_infeasible is 'The limit that the baseline would have broken; null when none';
comment on column public.decision_outcomes.carbon_saved_gco2 is 'Baseline less actual; negative is a loss [gCO2]';
comment on column public.decision_outcomes.cost_saved_gbp is 'Baseline less actual; negative is a loss [GBP]';
comment on column public.decision_outcomes.detail is 'What was missing, and which values were simulated';
comment on column public.decision_outcomes.is_simulated is 'True when Pylon generated the object; it exists nowhere else';
create index decision_outcomes_operator_id_recorded_at_idx on public.decision_outcomes (operator_id, recorded_at desc);
create index decision_outcomes_operator_id_workload_id_idx on public.decision_outcomes (operator_id, workload_id);
create or replace trigger refuse_change before update or delete on public.decision_outcomes for each row execute function private.refuse_change();
create or replace trigger refuse_statement before update or delete or truncate on public.decision_outcomes for each statement execute function private.refuse_change();
alter table public.decision_outcomes enable always trigger refuse_change;
alter table public.decision_outcomes enable always trigger refuse_statement;

alter table public.decision_outcomes enable row level security;
alter table public.decision_outcomes force row level security;
revoke all on public.decision_outcomes from public, anon, authenticated, service_role;
drop policy if exists tenant_rows on public.decision_outcomes;
create policy tenant_rows on public.decision_outcomes for all to authenticated, pylon_actor using (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid)) with check (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid));
grant select on public.decision_outcomes to authenticated, service_role;
grant select, insert on public.decision_outcomes to pylon_actor;

create table public.load_limits (
    id uuid not null default gen_random_uuid(),
    operator_id uuid not null,
    data_centre_id uuid not null,
    starts_at timestamptz not null,
    ends_at timestamptz,
    max_power_mw numeric(10,2) not null,
    reason text not null,
    decision_id uuid,
    is_simulated boolean not null default false,
    created_at timestamptz not null default now(),
    constraint load_limits_pkey primary key (id),
    constraint load_limits_operator_id_id_key unique (operator_id, id),
    constraint load_limits_max_power_mw_range check (max_power_mw >= 0),
    constraint load_limits_ends_after_start check (ends_at is null or ends_at >= starts_at),
    constraint load_limits_operator_id_fkey foreign key (operator_id) references public.operators (id) on delete restrict,
    constraint load_limits_data_centre_id_fkey foreign key (operator_id, data_centre_id) references public.data_centres (operator_id, id) on delete cascade,
    constraint load_limits_decision_id_fkey foreign key (operator_id, decision_id) references public.orchestration_decisions (operator_id, id) on delete restrict
);
comment on table public.load_limits is 'A cap on what Pylon schedules at a data centre for a while; a blackout window is a cap of 0 MW.';
comment on column public.load_limits.id is 'Primary key';
comment on column public.load_limits.operator_id is 'The operator the row belongs to';
comment on column public.load_limits.data_centre_id is 'The data centre';
comment on column public.load_limits.starts_at is 'From when it holds';
comment on column public.load_limits.ends_at is 'Until when; null: until it is lifted';
comment on column public.load_limits.max_power_mw is 'Facility power that scheduled work may draw [MW]';
comment on column public.load_limits.reason is 'Why, in words';
comment on column public.load_limits.decision_id is 'The SCALE_DOWN that set it, if one did';
comment on column public.load_limits.is_simulated is 'True when Pylon generated the object; it exists nowhere else';
comment on column public.load_limits.created_at is 'When the row was created';
create index load_limits_operator_id_data_centre_id_ends_at_idx on public.load_limits (operator_id, data_centre_id, ends_at);
create index load_limits_operator_id_decision_id_idx on public.load_limits (operator_id, decision_id);

alter table public.load_limits enable row level security;
alter table public.load_limits force row level security;
revoke all on public.load_limits from public, anon, authenticated, service_role;
drop policy if exists tenant_rows on public.load_limits;
create policy tenant_rows on public.load_limits for all to authenticated, pylon_actor using (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid)) with check (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid));
grant select on public.load_limits to authenticated, service_role;
grant select, insert, update, delete on public.load_limits to pylon_actor;

create table public.storage_dispatches (
    operator_id uuid not null,
    storage_asset_id uuid not null,
    starts_at timestamptz not null,
    power_mw numeric(10,3) not null,
    decision_id uuid not null,
    stored_mwh numeric(10,2),
    executed_at timestamptz,
    constraint storage_dispatches_pkey primary key (operator_id, storage_asset_id, starts_at),
    constraint storage_dispatches_stored_mwh_range check (stored_mwh >= 0),
    constraint storage_dispatches_operator_id_fkey foreign key (operator_id) references public.operators (id) on delete restrict,
    constraint storage_dispatches_storage_asset_id_fkey foreign key (operator_id, storage_asset_id) references public.storage_assets (operator_id, id) on delete cascade,
    constraint storage_dispatches_decision_id_fkey foreign key (operator_id, decision_id) references public.orchestration_decisions (operator_id, id) on delete restrict
);
comment on table public.storage_dispatches is 'What a storage asset is to do, or did, in one half hour.';
comment on column public.storage_dispatches.operator_id is 'The operator the row belongs to';
comment on column public.storage_dispatches.storage_asset_id is 'The asset';
comment on column public.storage_dispatches.starts_at is 'Start of the half hour';
comment on column public.storage_dispatches.power_mw is 'Mean power at the connection; positive discharges [MW]';
comment on column public.storage_dispatches.decision_id is 'The SCHEDULE_DISCHARGE that set it';
comment on column public.storage_dispatches.stored_mwh is 'Energy stored after it; null until carried out or reported [MWh]';
comment on column public.storage_dispatches.executed_at is 'When it was carried out';
create index storage_dispatches_operator_id_decision_id_idx on public.storage_dispatches (operator_id, decision_id);

alter table public.storage_dispatches enable row level security;
alter table public.storage_dispatches force row level security;
revoke all on public.storage_dispatches from public, anon, authenticated, service_role;
drop policy if exists tenant_rows on public.storage_dispatches;
create policy tenant_rows on public.storage_dispatches for all to authenticated, pylon_actor using (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid)) with check (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid));
grant select on public.storage_dispatches to authenticated, service_role;
grant select, insert, update, delete on public.storage_dispatches to pylon_actor;

create table public.workload_placements (
    operator_id uuid not null,
    workload_id uuid not null,
    starts_at timestamptz not null,
    ends_at timestamptz not null,
    data_centre_id uuid not null,
    decision_id uuid not null,
    constraint workload_placements_pkey primary key (operator_id, workload_id, starts_at),
    constraint workload_placements_ends_after_start check (ends_at > starts_at),
    constraint workload_placements_operator_id_fkey foreign key (operator_id) references public.operators (id) on delete restrict,
    constraint workload_placements_workload_id_fkey foreign key (operator_id, workload_id) references public.compute_workloads (operator_id, id) on delete cascade,
    constraint workload_placements_data_centre_id_fkey foreign key (operator_id, data_centre_id) references public.data_centres (operator_id, id) on delete restrict,
    constraint workload_placements_decision_id_fkey foreign key (operator_id, decision_id) references public.orchestration_decisions (operator_id, id) on delete restrict
);
comment on table public.workload_placements is 'One unbroken stretch of time in which a workload runs, or is to run, at a data centre.';
comment on column public.workload_placements.operator_id is 'The operator the row belongs to';
comment on column public.workload_placements.workload_id is 'The workload that was placed';
comment on column public.workload_placements.starts_at is 'When the stretch begins';
comment on column public.workload_placements.ends_at is 'When it ends';
comment on column public.workload_placements.data_centre_id is 'Where';
comment on column public.workload_placements.decision_id is 'The decision that placed it';
create index workload_placements_operator_id_data_centre_id_ends_at_idx on public.workload_placements (operator_id, data_centre_id, ends_at);
create index workload_placements_operator_id_decision_id_idx on public.workload_placements (operator_id, decision_id);

alter table public.workload_placements enable row level security;
alter table public.workload_placements force row level security;
revoke all on public.workload_placements from public, anon, authenticated, service_role;
drop policy if exists tenant_rows on public.workload_placements;
create policy tenant_rows on public.workload_placements for all to authenticated, pylon_actor using (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid)) with check (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid));
grant select on public.workload_placements to authenticated, service_role;
grant select, insert, update, delete on public.workload_placements to pylon_actor;

-- What crosses from one operator to another, all of it.
--
-- The market catalog crosses through one flag: what an operator has published, pylon_catalog may read,
-- and of that only the columns an offer needs.

drop policy if exists published_rows on public.data_centres;
create policy published_rows on public.data_centres for select to pylon_catalog using (published);

drop policy if exists published_rows on public.operators;
create policy published_rows on public.operators for select to pylon_catalog
    using (id in (select d.operator_id from public.data_centres d where d.published));

drop policy if exists published_rows on public.compute_workloads;
create policy published_rows on public.compute_workloads for select to pylon_catalog
    using (host_dc_id in (select d.id from public.data_centres d where d.published));

drop policy if exists published_rows on public.workload_placements;
create policy published_rows on public.workload_placements for select to pylon_catalog
    using (data_centre_id in (select d.id from public.data_centres d where d.published));

grant select (id, name, operator_type, is_simulated) on public.operators to pylon_catalog;
grant select (id, dc_id, name, operator_id, region_id, pue, total_capacity_mw, flexibility_rating,
              ramp_rate_mw_per_min, base_load_mw, gpu_count, status, published, is_simulated) on public.data_centres to pylon_catalog;
grant select (id, host_dc_id, operator_id, status, created_at, scheduled_start, started_at, duration_mins, power_kw)
    on public.compute_workloads to pylon_catalog;
grant select (operator_id, workload_id, data_centre_id, starts_at, ends_at)
    on public.workload_placements to pylon_catalog;

-- The pipeline keeps one figure of every data centre, and its label, current, and sees no more of it than it needs for that.

drop policy if exists carbon_read on public.data_centres;
create policy carbon_read on public.data_centres for select to pylon_ingest using (true);

drop policy if exists carbon_refresh on public.data_centres;
create policy carbon_refresh on public.data_centres for update to pylon_ingest using (true) with check (true);

grant select (id, region_id, current_carbon_intensity, current_carbon_source),
      update (current_carbon_intensity, current_carbon_source)
    on public.data_centres to pylon_ingest;

-- The log of decisions: one chain an operator. A row's `content` is the canonical JSON of all its other columns, made by
-- the application; its hash is the SHA-256, in hexadecimal, of the hash before it, its number and its content, with a
-- line feed between each. Before the first row stand 64 zeros. docs/decisions/0021.

-- Appends decisions, in this order, and returns where each stands. The head is locked and written once, however many.
create or replace function public.append_decisions(p_operator_id uuid, p_contents text[], p_now timestamptz)
returns table (seq bigint, prev_hash text, hash text)
language plpgsql set search_path = '' as $$
declare
    head    public.chain_heads;
    content text;
    last    text;
    hashes  text[] := '{}';
begin
    insert into public.chain_heads (operator_id, seq, hash, revision, updated_at)
    values (p_operator_id, 0, repeat('0', 64), 0, p_now)
    on conflict (operator_id) do nothing;
    select h.* into strict head from public.chain_heads h where h.operator_id = p_operator_id for update;

    last := head.hash;
    foreach content in array p_contents loop
        last := encode(sha256(convert_to(
            last || E'\n' || head.seq + cardinality(hashes) + 1 || E'\n' || content, 'UTF8')), 'hex');
        hashes := hashes || last;
    end loop;

    return query
    with linked as (
        select x.content, head.seq + x.place as seq, x.hash,
               lag(x.hash, 1, head.hash) over (order by x.place) as prev_hash
        from unnest(p_contents, hashes) with ordinality as x(content, hash, place)
    ), written as (
        -- The columns come from the content, so that they cannot say anything else.
        insert into public.orchestration_decisions
        select d.* from linked l cross join lateral jsonb_populate_record(
            jsonb_populate_record(null::public.orchestration_decisions, l.content::jsonb),
            jsonb_build_object('seq', l.seq, 'content', l.content, 'prev_hash', l.prev_hash, 'hash', l.hash)) d
        order by l.seq
    )
    select l.seq, l.prev_hash, l.hash from linked l order by l.seq;

    update public.chain_heads h
    set seq = head.seq + cardinality(hashes), hash = last, updated_at = p_now
    where h.operator_id = p_operator_id and cardinality(hashes) > 0;
end
$$;

-- Follows the chain over the rows after number p_after up to p_upto, of which the first must name p_hash as the hash
-- before it, and stops at the first fault. `checked` counts the rows that are in order; the last of them is `last_seq`.
-- In order is a row whose input, where it names one, is kept and has the hash that it is named by.
create or replace function public.check_decisions(p_operator_id uuid, p_after bigint, p_upto bigint, p_hash text)
returns table (checked bigint, last_seq bigint, last_hash text, fault_seq bigint, fault text)
language plpgsql stable set search_path = '' as $$
declare
    d      public.orchestration_decisions;
    said   public.orchestration_decisions;
    unkept record;
begin
    checked := 0;
    last_seq := p_after;
    last_hash := p_hash;
    for d in
        select o.* from public.orchestration_decisions o
        where o.operator_id = p_operator_id and o.seq > p_after and o.seq <= p_upto
        order by o.seq
    loop
        fault := case
            when d.seq > last_seq + 1 then 'missing'
            when d.seq < last_seq + 1 then 'number_taken'
            when d.prev_hash <> last_hash then 'not_linked'
            when d.hash <> encode(sha256(convert_to(
                d.prev_hash || E'\n' || d.seq || E'\n' || d.content, 'UTF8')), 'hex') then 'hash_differs'
        end;
        if fault is null then
            begin
                said := jsonb_populate_record(null::public.orchestration_decisions, d.content::jsonb);
                said.seq := d.seq;
                said.content := d.content;
                said.prev_hash := d.prev_hash;
                said.hash := d.hash;
                if not d *= said then  -- byte for byte: 1.0 in the place of 1 is a difference too
                    fault := 'columns_differ';
                end if;
            exception when data_exception or program_limit_exceeded then  -- the latter: nested too deep, or too long
                fault := 'content_unreadable';
            end;
        end if;
        if fault is not null then
            fault_seq := least(d.seq, last_seq + 1);
            exit;
        end if;
        checked := checked + 1;
        last_seq := d.seq;
        last_hash := d.hash;
    end loop;

    -- Of the rows in order so far, the first whose input is not kept as it was. Each input is hashed once, however many
    -- rows name it.
    with named as (
        select o.inputs ->> 'view' as digest, min(o.seq) as seq
        from public.orchestration_decisions o
        where o.operator_id = p_operator_id and o.seq > p_after and o.seq <= last_seq and o.inputs ->> 'view' is not null
        group by o.inputs ->> 'view'
    )
    select n.seq, case when p.digest is null then 'input_missing' else 'input_differs' end as fault
    into unkept
    from named n
    left join public.plan_inputs p on p.operator_id = p_operator_id and p.digest = n.digest
    where p.digest is null or p.digest <> encode(sha256(convert_to(p.content, 'UTF8')), 'hex')
    order by n.seq limit 1;
    if found then
        fault := unkept.fault;
        fault_seq := unkept.seq;
        last_seq := unkept.seq - 1;
        checked := last_seq - p_after;
        select o.prev_hash into strict last_hash from public.orchestration_decisions o
        where o.operator_id = p_operator_id and o.seq = fault_seq;
    end if;
    return next;
end
$$;

revoke all on function public.append_decisions(uuid, text[], timestamptz) from public, anon, authenticated, service_role;
grant execute on function public.append_decisions(uuid, text[], timestamptz) to pylon_actor;
revoke all on function public.check_decisions(uuid, bigint, bigint, text) from public, anon;
grant execute on function public.check_decisions(uuid, bigint, bigint, text) to authenticated, service_role, pylon_actor;

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
