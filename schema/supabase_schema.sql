-- Generated from src/pylon/ontology by `pylon derive`; change the ontology and add a migration.

begin;
do $$
declare
    applied integer := 0;
begin
    if to_regclass('supabase_migrations.schema_migrations') is not null then
        execute 'select count(*) from supabase_migrations.schema_migrations where version = any ($1)'
            into applied using array['20261122090000', '20261122140000', '20261122180000', '20261122210000', '20261122220000'];
    end if;
    if applied not in (0, 5) then
        raise exception 'this database has % of Pylon''s 5 migrations', applied
            using hint = 'Run `pylon db migrate` or `supabase db push` to apply the rest.';
    end if;
    if applied = 0 and to_regclass('public.grid_signals') is not null then
        raise exception 'this database has a table grid_signals that no recorded migration made'
            using hint = 'Use an empty database, or move that table away.';
    end if;
end
$$;

-- What a hosted Supabase already has and a plain PostgreSQL lacks: the three client roles.
do $$
declare
    role_name text;
begin
    foreach role_name in array array['anon', 'authenticated', 'service_role'] loop
        if not exists (select from pg_catalog.pg_roles where rolname = role_name) then
            execute format('create role %I nologin noinherit', role_name);
        end if;
    end loop;
end
$$;

-- Pylon's own roles. None logs in: a session becomes one of them for one transaction (set local role), so that
-- the login role's own rights never touch a row.
--   pylon_ingest   writes grid signals, runs and leases; sees no operator's rows
--   pylon_actor    writes one operator's rows: the operator named in the transaction's claims
--   pylon_catalog  reads what operators have published, and no more
do $$
declare
    role_name text;
begin
    foreach role_name in array array['pylon_ingest', 'pylon_actor', 'pylon_catalog'] loop
        if not exists (select from pg_catalog.pg_roles where rolname = role_name) then
            execute format('create role %I nologin noinherit', role_name);
        end if;
    end loop;
    -- The role that migrates may serve as well, by becoming one of these; it inherits nothing from them, so that
    -- row security holds for it too. PostgreSQL 15 cannot say so for one grant: there it is the role's own NOINHERIT.
    foreach role_name in array array['anon', 'authenticated', 'pylon_ingest', 'pylon_actor', 'pylon_catalog'] loop
        begin
            execute format('grant %I to %I', role_name, current_user)
                || case when current_setting('server_version_num')::integer >= 160000
                        then ' with inherit false, set true' else '' end;
        exception when insufficient_privilege then
            raise notice 'pylon: % may not grant itself %; grant it by hand if this role is to serve',
                current_user, role_name;
        end;
    end loop;
end
$$;

create schema if not exists private;
revoke all on schema private from public;
grant usage on schema private to pylon_ingest;
grant usage on schema public to anon, authenticated, service_role, pylon_ingest, pylon_actor, pylon_catalog;

do $$ begin
    if to_regtype('public.agent_status') is null then
        create type public.agent_status as enum ('IDLE', 'ACTIVE', 'NEGOTIATING', 'EXECUTING', 'ERROR', 'OFFLINE');
    end if;
end $$;

do $$ begin
    if to_regtype('public.agent_type') is null then
        create type public.agent_type as enum ('COMPUTE_ORCHESTRATOR', 'GRID_OPERATOR', 'STORAGE_AGENT', 'FLEXIBILITY_AGENT', 'CARBON_OPTIMIZER');
    end if;
end $$;

do $$ begin
    if to_regtype('public.country') is null then
        create type public.country as enum ('England', 'Scotland', 'Wales');
    end if;
end $$;

do $$ begin
    if to_regtype('public.data_centre_status') is null then
        create type public.data_centre_status as enum ('ACTIVE', 'MAINTENANCE', 'OFFLINE', 'CONSTRAINED');
    end if;
end $$;

do $$ begin
    if to_regtype('public.decision_type') is null then
        create type public.decision_type as enum ('DEFER_WORKLOAD', 'SHIFT_REGION', 'SCHEDULE_DISCHARGE', 'RENEWABLE_WINDOW', 'ACCEPT_WORKLOAD', 'REJECT_WORKLOAD', 'SCALE_DOWN', 'SCALE_UP', 'NEGOTIATE', 'PRICE_OPTIMIZATION', 'CARBON_OPTIMIZATION');
    end if;
end $$;

do $$ begin
    if to_regtype('public.operator_type') is null then
        create type public.operator_type as enum ('COMPUTE_OPERATOR', 'GRID_OPERATOR', 'STORAGE_OPERATOR', 'AGGREGATOR');
    end if;
end $$;

do $$ begin
    if to_regtype('public.plan_status') is null then
        create type public.plan_status as enum ('QUEUED', 'RUNNING', 'SUCCEEDED', 'FAILED', 'ABANDONED');
    end if;
end $$;

do $$ begin
    if to_regtype('public.run_status') is null then
        create type public.run_status as enum ('RUNNING', 'SUCCEEDED', 'PARTIAL', 'FAILED');
    end if;
end $$;

do $$ begin
    if to_regtype('public.storage_status') is null then
        create type public.storage_status as enum ('IDLE', 'CHARGING', 'DISCHARGING', 'MAINTENANCE', 'OFFLINE');
    end if;
end $$;

do $$ begin
    if to_regtype('public.workload_status') is null then
        create type public.workload_status as enum ('PENDING', 'QUEUED', 'RUNNING', 'COMPLETED', 'FAILED', 'DEFERRED_GRID_STRESS', 'DEFERRED_CARBON', 'DEFERRED_PRICE', 'CANCELLED');
    end if;
end $$;

do $$ begin
    if to_regtype('public.workload_type') is null then
        create type public.workload_type as enum ('TRAINING_RUN', 'INFERENCE_BATCH', 'RAG_QUERY', 'FINE_TUNING', 'DATA_PROCESSING', 'OTHER');
    end if;
end $$;

do $$ begin
    if to_regtype('public.workload_urgency') is null then
        create type public.workload_urgency as enum ('LOW', 'MEDIUM', 'HIGH', 'CRITICAL');
    end if;
end $$;

-- Trigger functions. They run as whoever writes, with an empty search path.

create or replace function private.touch_updated_at() returns trigger
language plpgsql set search_path = '' as $$
begin
    -- A writer that carries its own clock sets updated_at itself; any other gets the transaction's.
    if new.updated_at is not distinct from old.updated_at then
        new.updated_at := now();
    end if;
    return new;
end
$$;

create or replace function private.refuse_change() returns trigger
language plpgsql set search_path = '' as $$
begin
    raise exception '% is append-only: % is refused for every role', tg_table_name, tg_op
        using errcode = 'insufficient_privilege',
              hint = 'Write a new row that says what has changed.';
end
$$;

create table if not exists public.operators (
    id uuid not null default gen_random_uuid(),
    name varchar(255) not null,
    operator_type public.operator_type not null,
    email varchar(255),
    api_key_hash varchar(255),
    metadata jsonb not null default '{}',
    is_simulated boolean not null default false,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint operators_pkey primary key (id),
    constraint operators_email_key unique (email)
);
comment on table public.operators is 'A user or organisation; the tenant every other row of the fleet belongs to.';
comment on column public.operators.id is 'Primary key';
comment on column public.operators.name is 'Operator''s name';
comment on column public.operators.operator_type is 'What the operator runs';
comment on column public.operators.email is 'Contact address, unique';
comment on column public.operators.api_key_hash is 'Hash of the operator''s key; never shown';
comment on column public.operators.metadata is 'Additional attributes';
comment on column public.operators.is_simulated is 'True when Pylon generated the object; it exists nowhere else';
comment on column public.operators.created_at is 'When the row was created';
comment on column public.operators.updated_at is 'When the row last changed';
create or replace trigger touch_updated_at before update on public.operators for each row execute function private.touch_updated_at();

create table if not exists public.carbon_factors (
    fuel varchar(50) not null,
    factor_gco2_kwh integer not null,
    data_source varchar(50) not null,
    fetched_at timestamptz not null default now(),
    constraint carbon_factors_pkey primary key (fuel),
    constraint carbon_factors_factor_gco2_kwh_range check (factor_gco2_kwh >= 0)
);
comment on table public.carbon_factors is 'Grams of CO2 per kWh generated from a fuel, on the Carbon Intensity API''s combustion-only basis.';
comment on column public.carbon_factors.fuel is 'The API''s name for the fuel, e.g. Gas (Combined Cycle)';
comment on column public.carbon_factors.factor_gco2_kwh is 'Carbon factor [gCO2/kWh]';
comment on column public.carbon_factors.data_source is 'Source of the factor';
comment on column public.carbon_factors.fetched_at is 'When the value was retrieved';

create table if not exists public.regions (
    id uuid not null default gen_random_uuid(),
    region_id integer not null,
    short_name varchar(100) not null,
    dno_region varchar(100),
    country public.country not null,
    is_aggregate boolean not null default false,
    latitude numeric(9,6),
    longitude numeric(9,6),
    constraint regions_pkey primary key (id),
    constraint regions_region_id_key unique (region_id),
    constraint regions_region_id_range check (region_id >= 1 and region_id <= 17)
);
comment on table public.regions is 'One of the 17 regions of the Carbon Intensity API: 14 distribution areas and 3 countries.';
comment on column public.regions.id is 'Primary key';
comment on column public.regions.region_id is 'The API''s number for the region, 1 to 17';
comment on column public.regions.short_name is 'Name, e.g. North Scotland';
comment on column public.regions.dno_region is 'Distribution network operator''s area, in the API''s words';
comment on column public.regions.country is 'England, Scotland or Wales';
comment on column public.regions.is_aggregate is 'True for regions 15 to 17, which sum up a country';
comment on column public.regions.latitude is 'Geographic centre, latitude [degrees north]';
comment on column public.regions.longitude is 'Geographic centre, longitude [degrees east]';

create table if not exists public.grid_signals (
    id uuid not null default gen_random_uuid(),
    "timestamp" timestamptz not null,
    settlement_period integer not null,
    carbon_intensity_forecast integer,
    carbon_intensity_actual integer,
    carbon_index varchar(20),
    carbon_index_computed varchar(20),
    demand_mw integer,
    grid_stress_score numeric(4,3),
    grid_stress_detail jsonb,
    wholesale_price_gbp_mwh numeric(10,2),
    system_price_gbp_mwh numeric(10,2),
    data_source varchar(50),
    provenance jsonb not null default '{}',
    is_forecast boolean not null default true,
    fetched_at timestamptz not null default now(),
    constraint grid_signals_pkey primary key (id),
    constraint grid_signals_timestamp_key unique ("timestamp"),
    constraint grid_signals_settlement_period_range check (settlement_period >= 1 and settlement_period <= 50),
    constraint grid_signals_carbon_intensity_forecast_range check (carbon_intensity_forecast >= 0),
    constraint grid_signals_carbon_intensity_actual_range check (carbon_intensity_actual >= 0),
    constraint grid_signals_demand_mw_range check (demand_mw >= 0),
    constraint grid_signals_grid_stress_score_range check (grid_stress_score >= 0 and grid_stress_score <= 1)
);
comment on table public.grid_signals is 'The whole of Great Britain in one half hour: carbon, demand, price and stress.';
comment on column public.grid_signals.id is 'Primary key';
comment on column public.grid_signals."timestamp" is 'Start of the half hour, UTC';
comment on column public.grid_signals.settlement_period is 'Number of the half hour in the London day, 1 to 48 (46, 50 at clock changes)';
comment on column public.grid_signals.carbon_intensity_forecast is 'Forecast carbon intensity; its last revision, once past [gCO2/kWh]';
comment on column public.grid_signals.carbon_intensity_actual is 'Estimated actual carbon intensity, once known [gCO2/kWh]';
comment on column public.grid_signals.carbon_index is 'The source''s own word: very low, low, moderate, high, very high';
comment on column public.grid_signals.carbon_index_computed is 'The same word computed from the value and the year''s bands';
comment on column public.grid_signals.demand_mw is 'National demand on the transmission system [MW]';
comment on column public.grid_signals.grid_stress_score is '0.000 (slack) to 1.000 (emergency)';
comment on column public.grid_signals.grid_stress_detail is 'The score''s components, their coverage and the method''s version';
comment on column public.grid_signals.wholesale_price_gbp_mwh is 'Wholesale price; may be negative [GBP/MWh]';
comment on column public.grid_signals.system_price_gbp_mwh is 'Price of imbalance, known after the half hour; may be negative [GBP/MWh]';
comment on column public.grid_signals.data_source is 'Source of the row''s carbon intensity; `simulated` when simulated';
comment on column public.grid_signals.provenance is 'Source of each quantity: carbon, demand, price, system_price, stress, mix';
comment on column public.grid_signals.is_forecast is 'True until an actual carbon intensity is known for the half hour';
comment on column public.grid_signals.fetched_at is 'When the value now stored was retrieved';
create index if not exists grid_signals_timestamp_idx on public.grid_signals ("timestamp" desc);
create index if not exists grid_signals_carbon_intensity_forecast_idx on public.grid_signals (carbon_intensity_forecast);

create table if not exists public.leases (
    name varchar(50) not null,
    holder uuid not null,
    acquired_at timestamptz not null,
    expires_at timestamptz not null,
    term_s integer not null,
    constraint leases_pkey primary key (name),
    constraint leases_term_s_range check (term_s > 0)
);
comment on table public.leases is 'The right of one process to do one kind of work until a moment; it expires by itself.';
comment on column public.leases.name is 'The work, e.g. pipeline';
comment on column public.leases.holder is 'The process that holds it';
comment on column public.leases.acquired_at is 'When it was taken';
comment on column public.leases.expires_at is 'When it ends unless renewed';
comment on column public.leases.term_s is 'Seconds it was taken or renewed for [s]';

create table if not exists public.pipeline_runs (
    id uuid not null,
    status public.run_status not null default 'RUNNING',
    trigger varchar(50) not null,
    started_at timestamptz not null,
    finished_at timestamptz,
    report jsonb not null default '{}',
    constraint pipeline_runs_pkey primary key (id)
);
comment on table public.pipeline_runs is 'One run of the pipeline: when, how it ended, and the report of every source.';
comment on column public.pipeline_runs.id is 'Primary key; what a decision names as the data it saw';
comment on column public.pipeline_runs.status is 'How the run stands';
comment on column public.pipeline_runs.trigger is 'What started it: command, timetable, start-up or import';
comment on column public.pipeline_runs.started_at is 'When it started';
comment on column public.pipeline_runs.finished_at is 'When it committed, or failed';
comment on column public.pipeline_runs.report is 'Per source: rows seen, written, unchanged, rejected, gaps, seconds, faults';
create index if not exists pipeline_runs_started_at_idx on public.pipeline_runs (started_at desc);
create index if not exists pipeline_runs_finished_at_idx on public.pipeline_runs (finished_at desc);

create table if not exists public.quality_flags (
    series varchar(100) not null,
    starts_at timestamptz not null,
    rule varchar(50) not null,
    raw jsonb not null,
    reason text not null,
    run_id uuid not null,
    flagged_at timestamptz not null,
    cleared_at timestamptz,
    constraint quality_flags_pkey primary key (series, starts_at, rule, flagged_at)
);
comment on table public.quality_flags is 'A value that was received, kept as received, and found not fit to serve.';
comment on column public.quality_flags.series is 'The series, named as in signal_vintages';
comment on column public.quality_flags.starts_at is 'Start of the half hour';
comment on column public.quality_flags.rule is 'The rule that found it, e.g. national_zero';
comment on column public.quality_flags.raw is 'The value as received';
comment on column public.quality_flags.reason is 'What is wrong with it, in words';
comment on column public.quality_flags.run_id is 'The run that found it';
comment on column public.quality_flags.flagged_at is 'When it was found';
comment on column public.quality_flags.cleared_at is 'When a later value passed the rule, or broke it otherwise';
create index if not exists quality_flags_starts_at_idx on public.quality_flags (starts_at);

create table if not exists public.signal_vintages (
    series varchar(100) not null,
    run_id uuid not null,
    recorded_at timestamptz not null,
    starts_at timestamptz not null,
    half_hour_values double precision[] not null,
    source varchar(50) not null,
    constraint signal_vintages_pkey primary key (series, recorded_at, run_id, source)
) partition by range (recorded_at);
comment on table public.signal_vintages is 'A series as one pipeline run saw it; kept for good, so any signal can be read as it was known.';
comment on column public.signal_vintages.series is 'national.COLUMN or region.NUMBER.COLUMN, e.g. region.13.carbon_intensity_forecast';
comment on column public.signal_vintages.run_id is 'The pipeline run; no foreign key, so that it may be moved away';
comment on column public.signal_vintages.recorded_at is 'When the run committed it';
comment on column public.signal_vintages.starts_at is 'Start of the first half hour';
comment on column public.signal_vintages.half_hour_values is 'One value a half hour; null is a gap';
comment on column public.signal_vintages.source is 'Source of the series; `simulated` when simulated';
create or replace trigger refuse_change before update or delete on public.signal_vintages for each row execute function private.refuse_change();
create or replace trigger refuse_statement before update or delete or truncate on public.signal_vintages for each statement execute function private.refuse_change();
alter table public.signal_vintages enable always trigger refuse_change;
alter table public.signal_vintages enable always trigger refuse_statement;

create table if not exists public.agents (
    id uuid not null default gen_random_uuid(),
    agent_id varchar(100) not null,
    name varchar(255) not null,
    agent_type public.agent_type not null,
    operator_id uuid not null,
    config jsonb not null default '{}',
    status public.agent_status not null default 'IDLE',
    last_action_at timestamptz,
    current_task jsonb,
    is_simulated boolean not null default false,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint agents_pkey primary key (id),
    constraint agents_operator_id_id_key unique (operator_id, id),
    constraint agents_operator_id_agent_id_key unique (operator_id, agent_id),
    constraint agents_operator_id_fkey foreign key (operator_id) references public.operators (id) on delete restrict
);
comment on table public.agents is 'A program that decides for an operator, within what its type may do.';
comment on column public.agents.id is 'Primary key';
comment on column public.agents.agent_id is 'The operator''s own id for the agent; unique per operator';
comment on column public.agents.name is 'Agent''s name';
comment on column public.agents.agent_type is 'What the agent decides about';
comment on column public.agents.operator_id is 'The operator the agent acts for';
comment on column public.agents.config is 'Agent configuration';
comment on column public.agents.status is 'What the agent is doing';
comment on column public.agents.last_action_at is 'When the agent last acted';
comment on column public.agents.current_task is 'What the agent works on';
comment on column public.agents.is_simulated is 'True when Pylon generated the object; it exists nowhere else';
comment on column public.agents.created_at is 'When the row was created';
comment on column public.agents.updated_at is 'When the row last changed';
create or replace trigger touch_updated_at before update on public.agents for each row execute function private.touch_updated_at();

create table if not exists public.chain_heads (
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

create table if not exists public.idempotency_keys (
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
create index if not exists idempotency_keys_operator_id_created_at_idx on public.idempotency_keys (operator_id, created_at);

create table if not exists public.plan_inputs (
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
create index if not exists plan_inputs_operator_id_created_at_idx on public.plan_inputs (operator_id, created_at);
create or replace trigger refuse_change before update or delete on public.plan_inputs for each row execute function private.refuse_change();
create or replace trigger refuse_statement before update or delete or truncate on public.plan_inputs for each statement execute function private.refuse_change();
alter table public.plan_inputs enable always trigger refuse_change;
alter table public.plan_inputs enable always trigger refuse_statement;

create table if not exists public.tariff_rates (
    id uuid not null default gen_random_uuid(),
    operator_id uuid not null,
    tariff varchar(100) not null,
    starts_at timestamptz not null,
    price_gbp_mwh numeric(10,2),
    is_simulated boolean not null default false,
    created_at timestamptz not null default now(),
    constraint tariff_rates_pkey primary key (id),
    constraint tariff_rates_operator_id_id_key unique (operator_id, id),
    constraint tariff_rates_operator_id_tariff_starts_at_key unique (operator_id, tariff, starts_at),
    constraint tariff_rates_operator_id_fkey foreign key (operator_id) references public.operators (id) on delete restrict
);
comment on table public.tariff_rates is 'What an operator pays for electricity on one of its tariffs, from one moment until the tariff''s next rate.';
comment on column public.tariff_rates.id is 'Primary key';
comment on column public.tariff_rates.operator_id is 'The operator that buys at the rate';
comment on column public.tariff_rates.tariff is 'The operator''s own name for the tariff';
comment on column public.tariff_rates.starts_at is 'From when the rate holds, until the tariff''s next one';
comment on column public.tariff_rates.price_gbp_mwh is 'Price of energy, levies included; null: no price from here on [GBP/MWh]';
comment on column public.tariff_rates.is_simulated is 'True when Pylon generated the object; it exists nowhere else';
comment on column public.tariff_rates.created_at is 'When the row was created';

create table if not exists public.data_centres (
    id uuid not null default gen_random_uuid(),
    dc_id varchar(100) not null,
    name varchar(255) not null,
    operator_id uuid not null,
    region_id uuid not null,
    location_region varchar(100),
    postcode varchar(10),
    pue numeric(3,2) not null,
    total_capacity_teraflops integer,
    total_capacity_mw numeric(10,2) not null,
    flexibility_rating numeric(3,2) not null default 0,
    min_load_percentage numeric(5,2) not null default 0,
    ramp_rate_mw_per_min numeric(6,2),
    current_load_percentage numeric(5,2),
    current_carbon_intensity integer,
    current_carbon_source varchar(50),
    status public.data_centre_status not null default 'ACTIVE',
    gpu_count integer,
    cpu_cores integer,
    memory_gb integer,
    base_load_mw numeric(10,2) not null default 0,
    tariff varchar(100),
    published boolean not null default false,
    is_simulated boolean not null default false,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint data_centres_pkey primary key (id),
    constraint data_centres_operator_id_id_key unique (operator_id, id),
    constraint data_centres_operator_id_dc_id_key unique (operator_id, dc_id),
    constraint data_centres_pue_range check (pue >= 1 and pue <= 3),
    constraint data_centres_total_capacity_teraflops_range check (total_capacity_teraflops >= 0),
    constraint data_centres_total_capacity_mw_range check (total_capacity_mw >= 0),
    constraint data_centres_flexibility_rating_range check (flexibility_rating >= 0 and flexibility_rating <= 1),
    constraint data_centres_min_load_percentage_range check (min_load_percentage >= 0 and min_load_percentage <= 100),
    constraint data_centres_ramp_rate_mw_per_min_range check (ramp_rate_mw_per_min >= 0),
    constraint data_centres_current_load_percentage_range check (current_load_percentage >= 0 and current_load_percentage <= 100),
    constraint data_centres_current_carbon_intensity_range check (current_carbon_intensity >= 0),
    constraint data_centres_gpu_count_range check (gpu_count >= 0),
    constraint data_centres_cpu_cores_range check (cpu_cores >= 0),
    constraint data_centres_memory_gb_range check (memory_gb >= 0),
    constraint data_centres_base_load_mw_range check (base_load_mw >= 0),
    constraint data_centres_base_load_fits check (base_load_mw <= total_capacity_mw),
    constraint data_centres_operator_id_fkey foreign key (operator_id) references public.operators (id) on delete restrict,
    constraint data_centres_region_id_fkey foreign key (region_id) references public.regions (id) on delete restrict
);
comment on table public.data_centres is 'A site that runs compute. Its power is the facility''s, cooling included, unless a name says IT.';
comment on column public.data_centres.id is 'Primary key';
comment on column public.data_centres.dc_id is 'The operator''s own id for the site; unique per operator';
comment on column public.data_centres.name is 'Human-readable name';
comment on column public.data_centres.operator_id is 'The operator the site belongs to';
comment on column public.data_centres.region_id is 'The grid region''s id';
comment on column public.data_centres.location_region is 'The region''s name, repeated';
comment on column public.data_centres.postcode is 'UK postcode';
comment on column public.data_centres.pue is 'Power usage effectiveness: facility power / IT power';
comment on column public.data_centres.total_capacity_teraflops is 'Compute capacity [TFLOPS]';
comment on column public.data_centres.total_capacity_mw is 'Power the site may draw [MW]';
comment on column public.data_centres.flexibility_rating is 'Share of load that can move; 1 = fully flexible';
comment on column public.data_centres.min_load_percentage is 'Load the site cannot go below [%]';
comment on column public.data_centres.ramp_rate_mw_per_min is 'How fast the site''s load may change [MW/min]';
comment on column public.data_centres.current_load_percentage is 'Present draw as a share of total_capacity_mw [%]';
comment on column public.data_centres.current_carbon_intensity is 'The region''s forecast for the present half hour; null when none is stored [gCO2/kWh]';
comment on column public.data_centres.current_carbon_source is 'Source of current_carbon_intensity; `simulated` when simulated';
comment on column public.data_centres.status is 'Whether the site takes work';
comment on column public.data_centres.gpu_count is 'GPUs on site';
comment on column public.data_centres.cpu_cores is 'CPU cores on site';
comment on column public.data_centres.memory_gb is 'Memory on site [GB]';
comment on column public.data_centres.base_load_mw is 'Facility power drawn by what Pylon does not schedule [MW]';
comment on column public.data_centres.tariff is 'Tariff the site buys at (tariff_rates.tariff); null: the wholesale price';
comment on column public.data_centres.published is 'Whether the site''s spare capacity is offered in the market catalog to everyone';
comment on column public.data_centres.is_simulated is 'True when Pylon generated the object; it exists nowhere else';
comment on column public.data_centres.created_at is 'When the row was created';
comment on column public.data_centres.updated_at is 'When the row last changed';
create index if not exists data_centres_region_id_idx on public.data_centres (region_id);
create index if not exists data_centres_published_idx on public.data_centres (published) where published;
create or replace trigger touch_updated_at before update on public.data_centres for each row execute function private.touch_updated_at();

create table if not exists public.regional_grid_signals (
    id uuid not null default gen_random_uuid(),
    region_id uuid not null,
    "timestamp" timestamptz not null,
    carbon_intensity_forecast integer,
    carbon_intensity_upper integer,
    carbon_intensity_actual integer,
    carbon_index varchar(20),
    carbon_index_computed varchar(20),
    data_source varchar(50),
    fetched_at timestamptz not null default now(),
    constraint regional_grid_signals_pkey primary key (id),
    constraint regional_grid_signals_region_id_timestamp_key unique (region_id, "timestamp"),
    constraint regional_grid_signals_carbon_intensity_forecast_range check (carbon_intensity_forecast >= 0),
    constraint regional_grid_signals_carbon_intensity_upper_range check (carbon_intensity_upper >= 0),
    constraint regional_grid_signals_carbon_intensity_actual_range check (carbon_intensity_actual >= 0),
    constraint regional_grid_signals_region_id_fkey foreign key (region_id) references public.regions (id) on delete restrict
);
comment on table public.regional_grid_signals is 'One region in one half hour. The upstream regional figures are a model''s output, never measured.';
comment on column public.regional_grid_signals.id is 'Primary key';
comment on column public.regional_grid_signals.region_id is 'The region''s id (a UUID here; the API''s number is regions.region_id)';
comment on column public.regional_grid_signals."timestamp" is 'Start of the half hour, UTC';
comment on column public.regional_grid_signals.carbon_intensity_forecast is 'Forecast carbon intensity; 0 is legal in a region [gCO2/kWh]';
comment on column public.regional_grid_signals.carbon_intensity_upper is 'What caps are held against: 90 % quantile of Pylon''s own forecast; null on others [gCO2/kWh]';
comment on column public.regional_grid_signals.carbon_intensity_actual is 'Actual carbon intensity, where a source gives one [gCO2/kWh]';
comment on column public.regional_grid_signals.carbon_index is 'The source''s own word';
comment on column public.regional_grid_signals.carbon_index_computed is 'The same word computed from the value and the year''s bands';
comment on column public.regional_grid_signals.data_source is 'Source of the row; `simulated` when simulated';
comment on column public.regional_grid_signals.fetched_at is 'When the value now stored was retrieved';
create index if not exists regional_grid_signals_timestamp_idx on public.regional_grid_signals ("timestamp");

create table if not exists public.plans (
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
create unique index if not exists plans_operator_id_idx on public.plans (operator_id) where status in ('QUEUED', 'RUNNING');
create index if not exists plans_operator_id_requested_at_idx on public.plans (operator_id, requested_at desc);
create index if not exists plans_operator_id_length_plan_id_plan_id_idx on public.plans (operator_id, length(plan_id) desc, plan_id desc);
create index if not exists plans_run_id_idx on public.plans (run_id);
create or replace trigger touch_updated_at before update on public.plans for each row execute function private.touch_updated_at();

create table if not exists public.agent_states (
    id uuid not null default gen_random_uuid(),
    operator_id uuid not null,
    agent_id uuid not null,
    status varchar(50) not null,
    state_data jsonb not null default '{}',
    triggered_by varchar(100),
    recorded_at timestamptz not null default now(),
    constraint agent_states_pkey primary key (id),
    constraint agent_states_operator_id_fkey foreign key (operator_id) references public.operators (id) on delete restrict,
    constraint agent_states_agent_id_fkey foreign key (operator_id, agent_id) references public.agents (operator_id, id) on delete cascade
);
comment on table public.agent_states is 'A state an agent entered, and why.';
comment on column public.agent_states.id is 'Primary key';
comment on column public.agent_states.operator_id is 'The operator the row belongs to';
comment on column public.agent_states.agent_id is 'The agent';
comment on column public.agent_states.status is 'The state entered';
comment on column public.agent_states.state_data is 'Full state at that moment';
comment on column public.agent_states.triggered_by is 'What caused the change';
comment on column public.agent_states.recorded_at is 'When the row was created';
create index if not exists agent_states_operator_id_agent_id_recorded_at_idx on public.agent_states (operator_id, agent_id, recorded_at desc);

create table if not exists public.storage_assets (
    id uuid not null default gen_random_uuid(),
    asset_id varchar(100) not null,
    name varchar(255) not null,
    operator_id uuid not null,
    region_id uuid not null,
    capacity_mwh numeric(10,2) not null,
    max_charge_rate_mw numeric(10,2) not null,
    max_discharge_rate_mw numeric(10,2) not null,
    efficiency_percentage numeric(5,2) not null default 85,
    current_charge_mwh numeric(10,2),
    current_charge_percentage numeric(5,2),
    status public.storage_status not null default 'IDLE',
    co_located_dc_id uuid,
    wear_gbp_mwh numeric(10,2) not null default 0,
    is_simulated boolean not null default false,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint storage_assets_pkey primary key (id),
    constraint storage_assets_operator_id_id_key unique (operator_id, id),
    constraint storage_assets_operator_id_asset_id_key unique (operator_id, asset_id),
    constraint storage_assets_capacity_mwh_range check (capacity_mwh >= 0),
    constraint storage_assets_max_charge_rate_mw_range check (max_charge_rate_mw >= 0),
    constraint storage_assets_max_discharge_rate_mw_range check (max_discharge_rate_mw >= 0),
    constraint storage_assets_efficiency_percentage_range check (efficiency_percentage > 0 and efficiency_percentage <= 100),
    constraint storage_assets_current_charge_mwh_range check (current_charge_mwh >= 0),
    constraint storage_assets_current_charge_percentage_range check (current_charge_percentage >= 0 and current_charge_percentage <= 100),
    constraint storage_assets_wear_gbp_mwh_range check (wear_gbp_mwh >= 0),
    constraint storage_assets_charge_fits check (current_charge_mwh <= capacity_mwh),
    constraint storage_assets_operator_id_fkey foreign key (operator_id) references public.operators (id) on delete restrict,
    constraint storage_assets_region_id_fkey foreign key (region_id) references public.regions (id) on delete restrict,
    constraint storage_assets_co_located_dc_id_fkey foreign key (operator_id, co_located_dc_id) references public.data_centres (operator_id, id) on delete restrict
);
comment on table public.storage_assets is 'A battery or other store of electricity.';
comment on column public.storage_assets.id is 'Primary key';
comment on column public.storage_assets.asset_id is 'The operator''s own id for the asset; unique per operator';
comment on column public.storage_assets.name is 'Human-readable name';
comment on column public.storage_assets.operator_id is 'The operator the asset belongs to';
comment on column public.storage_assets.region_id is 'The grid region''s id';
comment on column public.storage_assets.capacity_mwh is 'Usable energy when full [MWh]';
comment on column public.storage_assets.max_charge_rate_mw is 'Most power it can take [MW]';
comment on column public.storage_assets.max_discharge_rate_mw is 'Most power it can give [MW]';
comment on column public.storage_assets.efficiency_percentage is 'Round-trip efficiency: energy out / energy in [%]';
comment on column public.storage_assets.current_charge_mwh is 'Energy stored now [MWh]';
comment on column public.storage_assets.current_charge_percentage is 'State of charge: current_charge_mwh / capacity_mwh [%]';
comment on column public.storage_assets.status is 'What the asset is doing';
comment on column public.storage_assets.co_located_dc_id is 'The data centre whose grid connection it shares, if any';
comment on column public.storage_assets.wear_gbp_mwh is 'Cost of wear per MWh discharged [GBP/MWh]';
comment on column public.storage_assets.is_simulated is 'True when Pylon generated the object; it exists nowhere else';
comment on column public.storage_assets.created_at is 'When the row was created';
comment on column public.storage_assets.updated_at is 'When the row last changed';
create index if not exists storage_assets_region_id_idx on public.storage_assets (region_id);
create index if not exists storage_assets_operator_id_co_located_dc_id_idx on public.storage_assets (operator_id, co_located_dc_id);
create or replace trigger touch_updated_at before update on public.storage_assets for each row execute function private.touch_updated_at();

create table if not exists public.generation_mix (
    id uuid not null default gen_random_uuid(),
    grid_signal_id uuid,
    regional_signal_id uuid,
    "timestamp" timestamptz not null,
    fuel_type varchar(50) not null,
    percentage numeric(5,2) not null,
    fetched_at timestamptz not null default now(),
    constraint generation_mix_pkey primary key (id),
    constraint generation_mix_grid_signal_id_fuel_type_key unique (grid_signal_id, fuel_type),
    constraint generation_mix_regional_signal_id_fuel_type_key unique (regional_signal_id, fuel_type),
    constraint generation_mix_fuel_type_valid check (fuel_type in ('biomass', 'coal', 'imports', 'gas', 'nuclear', 'other', 'hydro', 'solar', 'wind')),
    constraint generation_mix_percentage_range check (percentage >= 0 and percentage <= 100),
    constraint generation_mix_one_signal check (num_nonnulls(grid_signal_id, regional_signal_id) = 1),
    constraint generation_mix_grid_signal_id_fkey foreign key (grid_signal_id) references public.grid_signals (id) on delete cascade,
    constraint generation_mix_regional_signal_id_fkey foreign key (regional_signal_id) references public.regional_grid_signals (id) on delete cascade
);
comment on table public.generation_mix is 'The share of one fuel in a national or a regional signal.';
comment on column public.generation_mix.id is 'Primary key';
comment on column public.generation_mix.grid_signal_id is 'The national signal, or null';
comment on column public.generation_mix.regional_signal_id is 'The regional signal, or null; exactly one of the two is set';
comment on column public.generation_mix."timestamp" is 'The signal''s timestamp, repeated for quick queries';
comment on column public.generation_mix.fuel_type is 'Fuel';
comment on column public.generation_mix.percentage is 'Share of generation, 0.00 to 100.00 [%]';
comment on column public.generation_mix.fetched_at is 'When the value now stored was retrieved';

create table if not exists public.compute_workloads (
    id uuid not null default gen_random_uuid(),
    job_id varchar(100) not null,
    operator_id uuid not null,
    host_dc_id uuid,
    origin_dc_id uuid,
    workload_type public.workload_type not null,
    urgency public.workload_urgency not null default 'MEDIUM',
    required_gpu_mins integer,
    required_cpu_cores integer,
    required_memory_gb integer,
    estimated_energy_kwh numeric(14,2),
    duration_mins integer not null,
    power_kw numeric(12,3) not null,
    interruptible boolean not null default false,
    carbon_cap_gco2 integer,
    max_price_gbp numeric(14,4),
    deadline timestamptz,
    deferral_window_mins integer,
    allowed_region_ids integer[],
    migration_cost_gbp numeric(14,4) not null default 0,
    value_gbp numeric(14,4),
    scheduled_start timestamptz,
    plan_id uuid,
    status public.workload_status not null default 'PENDING',
    status_reason text,
    actual_energy_kwh numeric(14,2),
    actual_carbon_gco2 numeric(16,2),
    actual_cost_gbp numeric(14,4),
    is_simulated boolean not null default false,
    created_at timestamptz not null default now(),
    started_at timestamptz,
    completed_at timestamptz,
    constraint compute_workloads_pkey primary key (id),
    constraint compute_workloads_operator_id_id_key unique (operator_id, id),
    constraint compute_workloads_operator_id_job_id_key unique (operator_id, job_id),
    constraint compute_workloads_required_gpu_mins_range check (required_gpu_mins >= 0),
    constraint compute_workloads_required_cpu_cores_range check (required_cpu_cores >= 0),
    constraint compute_workloads_required_memory_gb_range check (required_memory_gb >= 0),
    constraint compute_workloads_estimated_energy_kwh_range check (estimated_energy_kwh >= 0),
    constraint compute_workloads_duration_mins_range check (duration_mins > 0),
    constraint compute_workloads_power_kw_range check (power_kw >= 0),
    constraint compute_workloads_carbon_cap_gco2_range check (carbon_cap_gco2 >= 0),
    constraint compute_workloads_max_price_gbp_range check (max_price_gbp >= 0),
    constraint compute_workloads_deferral_window_mins_range check (deferral_window_mins >= 0),
    constraint compute_workloads_migration_cost_gbp_range check (migration_cost_gbp >= 0),
    constraint compute_workloads_value_gbp_range check (value_gbp >= 0),
    constraint compute_workloads_actual_energy_kwh_range check (actual_energy_kwh >= 0),
    constraint compute_workloads_actual_carbon_gco2_range check (actual_carbon_gco2 >= 0),
    constraint compute_workloads_operator_id_fkey foreign key (operator_id) references public.operators (id) on delete restrict,
    constraint compute_workloads_host_dc_id_fkey foreign key (operator_id, host_dc_id) references public.data_centres (operator_id, id) on delete restrict,
    constraint compute_workloads_origin_dc_id_fkey foreign key (operator_id, origin_dc_id) references public.data_centres (operator_id, id) on delete restrict,
    constraint compute_workloads_plan_id_fkey foreign key (operator_id, plan_id) references public.plans (operator_id, id) on delete restrict
);
comment on table public.compute_workloads is 'A job: what it needs, what limits it, where it stands, and what it used in the end.';
comment on column public.compute_workloads.id is 'Primary key';
comment on column public.compute_workloads.job_id is 'The operator''s own id for the job; unique per operator';
comment on column public.compute_workloads.operator_id is 'The operator the job belongs to';
comment on column public.compute_workloads.host_dc_id is 'Where the job runs or is to run';
comment on column public.compute_workloads.origin_dc_id is 'Where the job would run if nobody moved it: the baseline''s place';
comment on column public.compute_workloads.workload_type is 'Kind of compute';
comment on column public.compute_workloads.urgency is 'How much the job minds waiting';
comment on column public.compute_workloads.required_gpu_mins is 'GPU minutes required [GPU min]';
comment on column public.compute_workloads.required_cpu_cores is 'CPU cores required';
comment on column public.compute_workloads.required_memory_gb is 'Memory required [GB]';
comment on column public.compute_workloads.estimated_energy_kwh is 'IT energy the job is expected to use [kWh]';
comment on column public.compute_workloads.duration_mins is 'How long the job runs [min]';
comment on column public.compute_workloads.power_kw is 'IT power while running; estimated_energy_kwh / duration when not given [kW]';
comment on column public.compute_workloads.interruptible is 'Whether the job may be paused and resumed';
comment on column public.compute_workloads.carbon_cap_gco2 is 'Cap on the job''s energy-weighted mean carbon intensity [gCO2/kWh]';
comment on column public.compute_workloads.max_price_gbp is 'Cap on the job''s total energy cost [GBP]';
comment on column public.compute_workloads.deadline is 'Must complete by';
comment on column public.compute_workloads.deferral_window_mins is 'How long after arrival the job may start [min]';
comment on column public.compute_workloads.allowed_region_ids is 'Regions (the API''s numbers) the job may run in; null means anywhere';
comment on column public.compute_workloads.migration_cost_gbp is 'Cost of running anywhere but at the origin [GBP]';
comment on column public.compute_workloads.value_gbp is 'Value of the compute, lost if never run [GBP]';
comment on column public.compute_workloads.scheduled_start is 'When the job is to start';
comment on column public.compute_workloads.plan_id is 'The plan that placed the job';
comment on column public.compute_workloads.status is 'Where the job is in its life';
comment on column public.compute_workloads.status_reason is 'Why it has this status, where whoever gave it said so';
comment on column public.compute_workloads.actual_energy_kwh is 'IT energy used [kWh]';
comment on column public.compute_workloads.actual_carbon_gco2 is 'Carbon emitted [gCO2]';
comment on column public.compute_workloads.actual_cost_gbp is 'Energy cost [GBP]';
comment on column public.compute_workloads.is_simulated is 'True when Pylon generated the object; it exists nowhere else';
comment on column public.compute_workloads.created_at is 'When the row was created';
comment on column public.compute_workloads.started_at is 'When the job started';
comment on column public.compute_workloads.completed_at is 'When the job ended';
create index if not exists compute_workloads_operator_id_created_at_idx on public.compute_workloads (operator_id, created_at desc);
create index if not exists compute_workloads_operator_id_status_deadline_idx on public.compute_workloads (operator_id, status, deadline);
create index if not exists compute_workloads_operator_id_host_dc_id_idx on public.compute_workloads (operator_id, host_dc_id);
create index if not exists compute_workloads_operator_id_origin_dc_id_idx on public.compute_workloads (operator_id, origin_dc_id);
create index if not exists compute_workloads_operator_id_plan_id_idx on public.compute_workloads (operator_id, plan_id);

create table if not exists public.plan_results (
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

create table if not exists public.orchestration_decisions (
    id uuid not null default gen_random_uuid(),
    decision_id varchar(100) not null,
    operator_id uuid not null,
    decision_type public.decision_type not null,
    agent_id uuid,
    workload_id uuid,
    source_dc_id uuid,
    target_dc_id uuid,
    storage_asset_id uuid,
    input_grid_signal_id uuid,
    input_run_id uuid,
    input_carbon_intensity integer,
    input_grid_stress numeric(4,3),
    input_price_gbp_mwh numeric(10,2),
    reasoning text not null,
    constraints_evaluated jsonb not null default '{}',
    alternatives_considered jsonb not null default '{}',
    carbon_saved_gco2 numeric(16,2),
    cost_saved_gbp numeric(14,4),
    flexibility_contribution_mw numeric(10,2),
    inputs jsonb not null default '{}',
    effect jsonb not null default '{}',
    is_simulated boolean not null default false,
    decided_at timestamptz not null default now(),
    seq bigint not null,
    content text not null,
    prev_hash varchar(64) not null,
    hash varchar(64) not null,
    constraint orchestration_decisions_pkey primary key (id),
    constraint orchestration_decisions_operator_id_id_key unique (operator_id, id),
    constraint orchestration_decisions_operator_id_decision_id_key unique (operator_id, decision_id),
    constraint orchestration_decisions_operator_id_seq_key unique (operator_id, seq),
    constraint orchestration_decisions_input_carbon_intensity_range check (input_carbon_intensity >= 0),
    constraint orchestration_decisions_input_grid_stress_range check (input_grid_stress >= 0 and input_grid_stress <= 1),
    constraint orchestration_decisions_seq_range check (seq >= 1),
    constraint orchestration_decisions_operator_id_fkey foreign key (operator_id) references public.operators (id) on delete restrict,
    constraint orchestration_decisions_agent_id_fkey foreign key (operator_id, agent_id) references public.agents (operator_id, id) on delete restrict,
    constraint orchestration_decisions_workload_id_fkey foreign key (operator_id, workload_id) references public.compute_workloads (operator_id, id) on delete restrict,
    constraint orchestration_decisions_source_dc_id_fkey foreign key (operator_id, source_dc_id) references public.data_centres (operator_id, id) on delete restrict,
    constraint orchestration_decisions_target_dc_id_fkey foreign key (operator_id, target_dc_id) references public.data_centres (operator_id, id) on delete restrict,
    constraint orchestration_decisions_storage_asset_id_fkey foreign key (operator_id, storage_asset_id) references public.storage_assets (operator_id, id) on delete restrict,
    constraint orchestration_decisions_input_grid_signal_id_fkey foreign key (input_grid_signal_id) references public.grid_signals (id) on delete restrict,
    constraint orchestration_decisions_input_run_id_fkey foreign key (input_run_id) references public.pipeline_runs (id) on delete restrict
);
comment on table public.orchestration_decisions is 'What an agent decided, on which inputs, and why. Append-only: never changed, never removed.';
comment on column public.orchestration_decisions.id is 'Primary key';
comment on column public.orchestration_decisions.decision_id is 'External id of the decision; unique per operator';
comment on column public.orchestration_decisions.operator_id is 'The operator the row belongs to';
comment on column public.orchestration_decisions.decision_type is 'What was decided';
comment on column public.orchestration_decisions.agent_id is 'The agent that decided';
comment on column public.orchestration_decisions.workload_id is 'The workload decided about';
comment on column public.orchestration_decisions.source_dc_id is 'Where the workload would have run';
comment on column public.orchestration_decisions.target_dc_id is 'Where it is to run';
comment on column public.orchestration_decisions.storage_asset_id is 'The storage asset decided about';
comment on column public.orchestration_decisions.input_grid_signal_id is 'The national signal the agent saw';
comment on column public.orchestration_decisions.input_run_id is 'The last committed pipeline run the agent saw';
comment on column public.orchestration_decisions.input_carbon_intensity is 'Carbon intensity at decision time [gCO2/kWh]';
comment on column public.orchestration_decisions.input_grid_stress is 'Grid stress at decision time';
comment on column public.orchestration_decisions.input_price_gbp_mwh is 'Price at decision time [GBP/MWh]';
comment on column public.orchestration_decisions.reasoning is 'The reason in words, read off the cost terms';
comment on column public.orchestration_decisions.constraints_evaluated is 'Limits checked';
comment on column public.orchestration_decisions.alternatives_considered is 'Other options and their cost terms';
comment on column public.orchestration_decisions.carbon_saved_gco2 is 'Carbon saved against run-now at origin; negative when more was emitted [gCO2]';
comment on column public.orchestration_decisions.cost_saved_gbp is 'Cost saved against run-now at origin; negative when it cost more [GBP]';
comment on column public.orchestration_decisions.flexibility_contribution_mw is 'Power made available to a flexibility market [MW]';
comment on column public.orchestration_decisions.inputs is 'What the agent saw: from it the decision recomputes';
comment on column public.orchestration_decisions.effect is 'The action performed, and what it changed';
comment on column public.orchestration_decisions.is_simulated is 'True when Pylon generated the object; it exists nowhere else';
comment on column public.orchestration_decisions.decided_at is 'When the row was created';
comment on column public.orchestration_decisions.seq is 'Number in the operator''s log, without gaps';
comment on column public.orchestration_decisions.content is 'Canonical JSON of all the columns above: the bytes that are hashed';
comment on column public.orchestration_decisions.prev_hash is 'Hash of the decision before; zeros for the first';
comment on column public.orchestration_decisions.hash is 'SHA-256 of prev_hash, seq and content, a line each';
create index if not exists orchestration_decisions_operator_id_decided_at_idx on public.orchestration_decisions (operator_id, decided_at desc);
create index if not exists orchestration_decisions_operator_id_agent_id_idx on public.orchestration_decisions (operator_id, agent_id);
create index if not exists orchestration_decisions_operator_id_workload_id_idx on public.orchestration_decisions (operator_id, workload_id);
create index if not exists orchestration_decisions_operator_id_source_dc_id_idx on public.orchestration_decisions (operator_id, source_dc_id);
create index if not exists orchestration_decisions_operator_id_target_dc_id_idx on public.orchestration_decisions (operator_id, target_dc_id);
create index if not exists orchestration_decisions_operator_id_storage_asset_id_idx on public.orchestration_decisions (operator_id, storage_asset_id);
create index if not exists orchestration_decisions_input_grid_signal_id_idx on public.orchestration_decisions (input_grid_signal_id);
create index if not exists orchestration_decisions_input_run_id_idx on public.orchestration_decisions (input_run_id);
create or replace trigger refuse_change before update or delete on public.orchestration_decisions for each row execute function private.refuse_change();
create or replace trigger refuse_statement before update or delete or truncate on public.orchestration_decisions for each statement execute function private.refuse_change();
alter table public.orchestration_decisions enable always trigger refuse_change;
alter table public.orchestration_decisions enable always trigger refuse_statement;

create table if not exists public.workload_consumption (
    operator_id uuid not null,
    workload_id uuid not null,
    grid_signal_id uuid not null,
    energy_kwh numeric(14,2) not null,
    recorded_at timestamptz not null default now(),
    constraint workload_consumption_pkey primary key (operator_id, workload_id, grid_signal_id),
    constraint workload_consumption_energy_kwh_range check (energy_kwh >= 0),
    constraint workload_consumption_operator_id_fkey foreign key (operator_id) references public.operators (id) on delete restrict,
    constraint workload_consumption_workload_id_fkey foreign key (operator_id, workload_id) references public.compute_workloads (operator_id, id) on delete cascade,
    constraint workload_consumption_grid_signal_id_fkey foreign key (grid_signal_id) references public.grid_signals (id) on delete restrict
);
comment on table public.workload_consumption is 'The energy one workload drew in one half hour: the link CONSUMED.';
comment on column public.workload_consumption.operator_id is 'The operator the row belongs to';
comment on column public.workload_consumption.workload_id is 'The workload that drew the energy';
comment on column public.workload_consumption.grid_signal_id is 'The half hour it was drawn in';
comment on column public.workload_consumption.energy_kwh is 'Facility energy drawn in the half hour [kWh]';
comment on column public.workload_consumption.recorded_at is 'When the row was created';
create index if not exists workload_consumption_grid_signal_id_idx on public.workload_consumption (grid_signal_id);

create table if not exists public.decision_outcomes (
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
create index if not exists decision_outcomes_operator_id_recorded_at_idx on public.decision_outcomes (operator_id, recorded_at desc);
create index if not exists decision_outcomes_operator_id_workload_id_idx on public.decision_outcomes (operator_id, workload_id);
create or replace trigger refuse_change before update or delete on public.decision_outcomes for each row execute function private.refuse_change();
create or replace trigger refuse_statement before update or delete or truncate on public.decision_outcomes for each statement execute function private.refuse_change();
alter table public.decision_outcomes enable always trigger refuse_change;
alter table public.decision_outcomes enable always trigger refuse_statement;

create table if not exists public.load_limits (
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
create index if not exists load_limits_operator_id_data_centre_id_ends_at_idx on public.load_limits (operator_id, data_centre_id, ends_at);
create index if not exists load_limits_operator_id_decision_id_idx on public.load_limits (operator_id, decision_id);

create table if not exists public.storage_dispatches (
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
create index if not exists storage_dispatches_operator_id_decision_id_idx on public.storage_dispatches (operator_id, decision_id);

create table if not exists public.workload_placements (
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
create index if not exists workload_placements_operator_id_data_centre_id_ends_at_idx on public.workload_placements (operator_id, data_centre_id, ends_at);
create index if not exists workload_placements_operator_id_decision_id_idx on public.workload_placements (operator_id, decision_id);

-- Monthly partitions of signal_vintages live in schema private: clients reach them through the parent alone.

create or replace function private.ensure_vintage_month(p_at timestamptz) returns void
language plpgsql security definer set search_path = '' as $$
declare
    month_start timestamptz := date_trunc('month', p_at at time zone 'UTC') at time zone 'UTC';
    month_end   timestamptz := (date_trunc('month', p_at at time zone 'UTC') + interval '1 month') at time zone 'UTC';
    part_name   text := 'signal_vintages_' || to_char(p_at at time zone 'UTC', 'YYYYMM');
begin
    if to_regclass('private.' || part_name) is not null then
        return;
    end if;
    execute format(
        'create table if not exists private.%I partition of public.signal_vintages for values from (%L) to (%L)',
        part_name, month_start, month_end);
    execute format('alter table private.%I enable row level security', part_name);
    -- A statement trigger is not inherited by partitions, so each refuses on its own.
    execute format(
        'create or replace trigger refuse_statement before update or delete or truncate on private.%I '
        'for each statement execute function private.refuse_change()', part_name);
    execute format('alter table private.%I enable always trigger refuse_statement', part_name);
end
$$;

revoke all on function private.ensure_vintage_month(timestamptz) from public;
grant execute on function private.ensure_vintage_month(timestamptz) to pylon_ingest;

-- Ingest: one set-based statement for each kind of signal. A row that is already stored as it comes is not
-- touched (no new row version, no write-ahead log). Where two sources give one quantity, the one that ranks higher is
-- kept: p_ranks is an object of ranks by label, in which `simulated` is 0 and a label that is not there is 10.

-- Whether a quantity from one source may be stored over what is there from another.
create or replace function private.accepts(p_new text, p_old text, p_ranks jsonb) returns boolean
language sql immutable set search_path = '' as $$
    select p_new is not null and (
        p_old is null or coalesce((p_ranks ->> p_new)::integer, 10) >= coalesce((p_ranks ->> p_old)::integer, 10))
$$;

-- p_rows: array of {timestamp, settlement_period, provenance, and the quantities provenance names}; `mix` is an
-- object of percentages by fuel. A quantity that provenance does not name is left as it is stored. `withheld` names
-- the carbon values that were received and are not fit to serve: an actual is taken back, a forecast stays as it was.
create or replace function public.ingest_national(p_rows jsonb, p_ranks jsonb, p_now timestamptz) returns jsonb
language sql set search_path = '' as $$
with incoming as materialized (
    select * from jsonb_to_recordset(p_rows) as x(
        "timestamp" timestamptz, settlement_period integer, provenance jsonb,
        carbon_intensity_forecast integer, carbon_intensity_actual integer,
        carbon_index text, carbon_index_computed text,
        demand_mw integer, wholesale_price_gbp_mwh numeric(10,2), system_price_gbp_mwh numeric(10,2),
        grid_stress_score numeric(4,3), grid_stress_detail jsonb, mix jsonb, withheld jsonb)
), judged as (
    select i.*, s.id as stored_id, s as stored,
        private.accepts(i.provenance ->> 'carbon', s.provenance ->> 'carbon', p_ranks) as takes_carbon,
        private.accepts(i.provenance ->> 'demand', s.provenance ->> 'demand', p_ranks) as takes_demand,
        private.accepts(i.provenance ->> 'price', s.provenance ->> 'price', p_ranks) as takes_price,
        private.accepts(i.provenance ->> 'system_price', s.provenance ->> 'system_price', p_ranks)
            as takes_system_price,
        private.accepts(i.provenance ->> 'stress', s.provenance ->> 'stress', p_ranks) as takes_stress,
        private.accepts(i.provenance ->> 'mix', s.provenance ->> 'mix', p_ranks) as takes_mix,
        -- What was once given stays when the same source, or another of its rank, later leaves it out.
        i.carbon_intensity_forecast is null
            and private.accepts(s.provenance ->> 'carbon', i.provenance ->> 'carbon', p_ranks) as keeps_forecast,
        i.carbon_intensity_actual is null and s.carbon_intensity_actual is not null
            and private.accepts(s.provenance ->> 'carbon', i.provenance ->> 'carbon', p_ranks)
            and not coalesce(i.withheld ? 'carbon_intensity_actual', false) as keeps_actual
    from incoming i left join public.grid_signals s using ("timestamp")
), followed as (
    -- The index follows the actual, or the forecast where there is none: it stays with the value that stays.
    select j.*, coalesce(keeps_actual or (keeps_forecast and j.carbon_intensity_actual is null
                                          and (j.stored).carbon_intensity_actual is null), false) as keeps_index
    from judged j
), merged as materialized (
    -- Ids are settled here, so that the mix can be written without asking what the insert made of them. Should
    -- another writer have stored the half hour in between, the mix's foreign key refuses, and the run with it.
    select coalesce(j.stored_id, gen_random_uuid()) as id, j."timestamp", j.settlement_period, j.stored_id, j.stored,
        case when takes_carbon and not coalesce(keeps_forecast, false) then j.carbon_intensity_forecast
             else (j.stored).carbon_intensity_forecast end as carbon_intensity_forecast,
        case when takes_carbon and not coalesce(keeps_actual, false) then j.carbon_intensity_actual
             else (j.stored).carbon_intensity_actual end as carbon_intensity_actual,
        case when takes_carbon and not keeps_index then j.carbon_index else (j.stored).carbon_index end
            as carbon_index,
        case when takes_carbon and not keeps_index then j.carbon_index_computed
             else (j.stored).carbon_index_computed end as carbon_index_computed,
        case when takes_demand then j.demand_mw else (j.stored).demand_mw end as demand_mw,
        case when takes_price then j.wholesale_price_gbp_mwh else (j.stored).wholesale_price_gbp_mwh end
            as wholesale_price_gbp_mwh,
        case when takes_system_price then j.system_price_gbp_mwh else (j.stored).system_price_gbp_mwh end
            as system_price_gbp_mwh,
        case when takes_stress then j.grid_stress_score else (j.stored).grid_stress_score end
            as grid_stress_score,
        case when takes_stress then j.grid_stress_detail else (j.stored).grid_stress_detail end
            as grid_stress_detail,
        coalesce((j.stored).provenance, '{}') || jsonb_strip_nulls(jsonb_build_object(
            'carbon', case when takes_carbon then j.provenance ->> 'carbon' end,
            'demand', case when takes_demand then j.provenance ->> 'demand' end,
            'price', case when takes_price then j.provenance ->> 'price' end,
            'system_price', case when takes_system_price then j.provenance ->> 'system_price' end,
            'stress', case when takes_stress then j.provenance ->> 'stress' end,
            'mix', case when takes_mix then j.provenance ->> 'mix' end)) as provenance,
        case when takes_mix then j.mix end as mix
    from followed j
), written as (
    insert into public.grid_signals as g (
        id, "timestamp", settlement_period, carbon_intensity_forecast, carbon_intensity_actual, carbon_index,
        carbon_index_computed, demand_mw, wholesale_price_gbp_mwh, system_price_gbp_mwh, grid_stress_score,
        grid_stress_detail, data_source, provenance, is_forecast, fetched_at)
    select id, "timestamp", settlement_period, carbon_intensity_forecast, carbon_intensity_actual, carbon_index,
        carbon_index_computed, demand_mw, wholesale_price_gbp_mwh, system_price_gbp_mwh, grid_stress_score,
        grid_stress_detail, provenance ->> 'carbon', provenance, carbon_intensity_actual is null, p_now
    from merged m
    where m.stored_id is null or (
        m.carbon_intensity_forecast, m.carbon_intensity_actual, m.carbon_index, m.carbon_index_computed,
        m.demand_mw, m.wholesale_price_gbp_mwh, m.system_price_gbp_mwh, m.grid_stress_score, m.grid_stress_detail,
        m.provenance
    ) is distinct from (
        (m.stored).carbon_intensity_forecast, (m.stored).carbon_intensity_actual, (m.stored).carbon_index,
        (m.stored).carbon_index_computed, (m.stored).demand_mw, (m.stored).wholesale_price_gbp_mwh,
        (m.stored).system_price_gbp_mwh, (m.stored).grid_stress_score, (m.stored).grid_stress_detail,
        (m.stored).provenance)
    on conflict ("timestamp") do update set
        carbon_intensity_forecast = excluded.carbon_intensity_forecast,
        carbon_intensity_actual = excluded.carbon_intensity_actual,
        carbon_index = excluded.carbon_index,
        carbon_index_computed = excluded.carbon_index_computed,
        demand_mw = excluded.demand_mw,
        wholesale_price_gbp_mwh = excluded.wholesale_price_gbp_mwh,
        system_price_gbp_mwh = excluded.system_price_gbp_mwh,
        grid_stress_score = excluded.grid_stress_score,
        grid_stress_detail = excluded.grid_stress_detail,
        data_source = excluded.data_source,
        provenance = excluded.provenance,
        is_forecast = excluded.is_forecast,
        fetched_at = excluded.fetched_at
    returning 1
), signal_ids as (
    select m.id, m."timestamp", m.mix from merged m where m.mix is not null
), mix_written as (
    insert into public.generation_mix as x (grid_signal_id, "timestamp", fuel_type, percentage, fetched_at)
    select s.id, s."timestamp", f.key, f.value::numeric(5,2), p_now
    from signal_ids s
    cross join lateral jsonb_each_text(s.mix) f
    left join public.generation_mix old on old.grid_signal_id = s.id and old.fuel_type = f.key
    where old.percentage is distinct from f.value::numeric(5,2)
    on conflict (grid_signal_id, fuel_type) do update
        set percentage = excluded.percentage, fetched_at = excluded.fetched_at
    returning 1
), mix_removed as (
    -- A mix is one value: a fuel that it leaves out is no longer part of it.
    delete from public.generation_mix x using signal_ids s
    where x.grid_signal_id = s.id and not s.mix ? x.fuel_type
    returning 1
)
select jsonb_build_object(
    'signals_seen', (select count(*) from incoming),
    'signals_written', (select count(*) from written),
    'mix_written', (select count(*) from mix_written) + (select count(*) from mix_removed))
$$;

-- p_rows: array of {region_id (the API's number), timestamp, carbon_intensity_forecast, carbon_intensity_upper,
-- carbon_index, carbon_index_computed, mix}; all from p_source.
create or replace function public.ingest_regional(p_rows jsonb, p_source text, p_ranks jsonb, p_now timestamptz)
returns jsonb
language sql set search_path = '' as $$
with incoming as materialized (
    select r.id as region_uuid, x.*
    from jsonb_to_recordset(p_rows) as x(
        region_id integer, "timestamp" timestamptz, carbon_intensity_forecast integer,
        carbon_intensity_upper integer, carbon_index text, carbon_index_computed text, mix jsonb)
    join public.regions r on r.region_id = x.region_id
), accepted as materialized (
    select i.*, coalesce(s.id, gen_random_uuid()) as id, s.id as stored_id, s as stored
    from incoming i
    left join public.regional_grid_signals s on s.region_id = i.region_uuid and s."timestamp" = i."timestamp"
    -- private.accepts, written out: as a function it would be called for each of these many rows.
    where s.data_source is null
       or coalesce((p_ranks ->> p_source)::integer, 10) >= coalesce((p_ranks ->> s.data_source)::integer, 10)
), written as (
    insert into public.regional_grid_signals as g (
        id, region_id, "timestamp", carbon_intensity_forecast, carbon_intensity_upper, carbon_index,
        carbon_index_computed, data_source, fetched_at)
    select id, region_uuid, "timestamp", carbon_intensity_forecast, carbon_intensity_upper, carbon_index,
        carbon_index_computed, p_source, p_now
    from accepted a
    where a.stored_id is null or (
        a.carbon_intensity_forecast, a.carbon_intensity_upper, a.carbon_index, a.carbon_index_computed, p_source
    ) is distinct from (
        (a.stored).carbon_intensity_forecast, (a.stored).carbon_intensity_upper, (a.stored).carbon_index,
        (a.stored).carbon_index_computed, (a.stored).data_source)
    on conflict (region_id, "timestamp") do update set
        carbon_intensity_forecast = excluded.carbon_intensity_forecast,
        carbon_intensity_upper = excluded.carbon_intensity_upper,
        carbon_index = excluded.carbon_index,
        carbon_index_computed = excluded.carbon_index_computed,
        data_source = excluded.data_source,
        fetched_at = excluded.fetched_at
    returning 1
), signal_ids as (
    select a.id, a."timestamp", coalesce(a.mix, '{}') as mix,
        (a.stored).data_source is distinct from p_source as relabelled
    from accepted a
), mix_written as (
    insert into public.generation_mix as x (regional_signal_id, "timestamp", fuel_type, percentage, fetched_at)
    select s.id, s."timestamp", f.key, f.value::numeric(5,2), p_now
    from signal_ids s
    cross join lateral jsonb_each_text(s.mix) f
    left join public.generation_mix old on old.regional_signal_id = s.id and old.fuel_type = f.key
    where old.percentage is distinct from f.value::numeric(5,2)
    on conflict (regional_signal_id, fuel_type) do update
        set percentage = excluded.percentage, fetched_at = excluded.fetched_at
    returning 1
), mix_removed as (
    -- The same here; and a row that a real source takes over keeps no simulated mix under the real label.
    delete from public.generation_mix x using signal_ids s
    where x.regional_signal_id = s.id and not s.mix ? x.fuel_type and (s.relabelled or s.mix <> '{}')
    returning 1
)
select jsonb_build_object(
    'signals_seen', (select count(*) from incoming),
    'signals_written', (select count(*) from written),
    'mix_written', (select count(*) from mix_written) + (select count(*) from mix_removed))
$$;

-- p_factors: object of gCO2/kWh by the API's name of the fuel. Returns how many were written.
create or replace function public.ingest_factors(p_factors jsonb, p_source text, p_ranks jsonb, p_now timestamptz)
returns integer
language sql set search_path = '' as $$
with written as (
    insert into public.carbon_factors as c (fuel, factor_gco2_kwh, data_source, fetched_at)
    select f.key, f.value::integer, p_source, p_now from jsonb_each_text(p_factors) f
    on conflict (fuel) do update set
        factor_gco2_kwh = excluded.factor_gco2_kwh,
        data_source = excluded.data_source,
        fetched_at = excluded.fetched_at
    where private.accepts(excluded.data_source, c.data_source, p_ranks)
      and (c.factor_gco2_kwh, c.data_source) is distinct from (excluded.factor_gco2_kwh, excluded.data_source)
    returning 1
)
select count(*)::integer from written
$$;

-- p_series: array of {series, starts_at, half_hour_values, source}. A series that a source gave exactly as the last
-- time, or from a later half hour on, is not written again. Returns how many were written.
create or replace function public.record_vintages(p_series jsonb, p_run_id uuid, p_now timestamptz)
returns integer
language plpgsql set search_path = '' as $$
declare
    written integer;
begin
    perform private.ensure_vintage_month(p_now);
    insert into public.signal_vintages (series, run_id, recorded_at, starts_at, half_hour_values, source)
    select x.series, p_run_id, p_now, x.starts_at, x.half_hour_values, x.source
    from jsonb_to_recordset(p_series) as x(
        series text, starts_at timestamptz, half_hour_values double precision[], source text)
    left join lateral (
        select v.starts_at, v.half_hour_values
        from public.signal_vintages v
        where v.series = x.series and v.source = x.source
        order by v.recorded_at desc
        limit 1) last on true
    where last.starts_at is null or last.starts_at > x.starts_at
       or x.half_hour_values is distinct from
          last.half_hour_values[(extract(epoch from x.starts_at - last.starts_at) / 1800)::integer + 1 :];
    get diagnostics written = row_count;
    return written;
end
$$;

-- p_flags: array of {series, starts_at, rule, raw, reason}: values received and found not fit to serve. p_checked:
-- array of {series, half_hours}: where a value came and the rules were applied to it. A flag there that is not raised
-- again is cleared; one raised on another value ends the flag that stood, so that each says when it stood.
create or replace function public.record_flags(p_flags jsonb, p_checked jsonb, p_run_id uuid, p_now timestamptz)
returns jsonb
language sql set search_path = '' as $$
with incoming as materialized (
    -- A value that never came is recorded as JSON's null, which the record set would turn into SQL's.
    select x.series, x.starts_at, x.rule, coalesce(x.raw, 'null') as raw, x.reason
    from jsonb_to_recordset(p_flags) as x(
        series text, starts_at timestamptz, rule text, raw jsonb, reason text)
), checked as (
    select c.series, h.half_hour::timestamptz as starts_at
    from jsonb_to_recordset(p_checked) as c(series text, half_hours jsonb)
    cross join lateral jsonb_array_elements_text(c.half_hours) as h(half_hour)
), raised as (
    insert into public.quality_flags as q (series, starts_at, rule, raw, reason, run_id, flagged_at)
    select i.series, i.starts_at, i.rule, i.raw, i.reason, p_run_id, p_now from incoming i
    where not exists (
        select from public.quality_flags q
        where q.series = i.series and q.starts_at = i.starts_at and q.rule = i.rule and q.raw = i.raw
          and q.cleared_at is null)
    on conflict (series, starts_at, rule, flagged_at) do update set
        raw = excluded.raw, reason = excluded.reason, cleared_at = null
    returning 1
), ended as (
    select q.series, q.starts_at, q.rule, q.flagged_at
    from public.quality_flags q join checked c using (series, starts_at)
    where q.cleared_at is null and not exists (
        select from incoming i where i.series = q.series and i.starts_at = q.starts_at and i.rule = q.rule)
    union
    select q.series, q.starts_at, q.rule, q.flagged_at
    from public.quality_flags q join incoming i using (series, starts_at, rule)
    where q.cleared_at is null and q.raw <> i.raw and q.flagged_at <> p_now
), cleared as (
    update public.quality_flags q set cleared_at = p_now
    from ended e
    where (q.series, q.starts_at, q.rule, q.flagged_at) = (e.series, e.starts_at, e.rule, e.flagged_at)
    returning 1
)
select jsonb_build_object(
    'raised', (select count(*) from raised),
    'cleared', (select count(*) from cleared))
$$;

-- Leases: the right to do one kind of work until a moment. Session locks would fail through a pooler.

-- Takes or renews the lease and returns true, or returns false while another holder's has not expired.
create or replace function public.take_lease(p_name text, p_holder uuid, p_now timestamptz, p_term_s integer)
returns boolean
language sql set search_path = '' as $$
with taken as (
    insert into public.leases as l (name, holder, acquired_at, expires_at, term_s)
    values (p_name, p_holder, p_now, p_now + make_interval(secs => p_term_s), p_term_s)
    on conflict (name) do update set
        holder = excluded.holder,
        acquired_at = case when l.holder = excluded.holder then l.acquired_at else excluded.acquired_at end,
        expires_at = excluded.expires_at,
        term_s = excluded.term_s
    where l.holder = excluded.holder or l.expires_at <= p_now
    returning 1
)
select exists (select from taken)
$$;

create or replace function public.release_lease(p_name text, p_holder uuid) returns boolean
language sql set search_path = '' as $$
with released as (
    delete from public.leases where name = p_name and holder = p_holder returning 1
)
select exists (select from released)
$$;

alter table public.regions no force row level security;
insert into public.regions (id, region_id, short_name, dno_region, country, is_aggregate, latitude, longitude) values
    ('01941f29-7c00-7fa6-a601-1a403b42b045', 1, 'North Scotland', 'Scottish Hydro Electric Power Distribution', 'Scotland', false, 57.500000, -4.500000),
    ('01941f29-7c00-7065-a159-8de0d85ddc93', 2, 'South Scotland', 'SP Distribution', 'Scotland', false, 55.600000, -3.700000),
    ('01941f29-7c00-7c2b-b27b-9fc778989dc6', 3, 'North West England', 'Electricity North West', 'England', false, 54.100000, -2.700000),
    ('01941f29-7c00-7061-bcf3-8ea8c78bed94', 4, 'North East England', 'NPG North East', 'England', false, 54.900000, -1.800000),
    ('01941f29-7c00-71ef-ae4b-97cfdf61eb5b', 5, 'South Yorkshire', 'NPG Yorkshire', 'England', false, 53.700000, -1.300000),
    ('01941f29-7c00-748c-9fec-fe1acd0a9589', 6, 'North Wales, Merseyside and Cheshire', 'SP Manweb', 'Wales', false, 53.100000, -3.300000),
    ('01941f29-7c00-7482-8f5a-91b82da76da4', 7, 'South Wales', 'WPD South Wales', 'Wales', false, 51.800000, -3.800000),
    ('01941f29-7c00-7705-b8b2-e6ab0d883cd5', 8, 'West Midlands', 'WPD West Midlands', 'England', false, 52.400000, -2.200000),
    ('01941f29-7c00-7ed3-8185-da10231fe010', 9, 'East Midlands', 'WPD East Midlands', 'England', false, 52.800000, -0.900000),
    ('01941f29-7c00-7959-956b-532053432ecb', 10, 'East England', 'UKPN East', 'England', false, 52.300000, 0.700000),
    ('01941f29-7c00-7053-83fa-8d3326022b86', 11, 'South West England', 'WPD South West', 'England', false, 50.800000, -3.800000),
    ('01941f29-7c00-7bea-9201-0193294646e1', 12, 'South England', 'SSE South', 'England', false, 51.200000, -1.400000),
    ('01941f29-7c00-7522-b6b8-1abde899638c', 13, 'London', 'UKPN London', 'England', false, 51.510000, -0.120000),
    ('01941f29-7c00-7147-be90-6643589e082b', 14, 'South East England', 'UKPN South East', 'England', false, 51.100000, 0.400000),
    ('01941f29-7c00-793a-9ec2-d167d2b7f1e9', 15, 'England', 'England', 'England', true, 52.500000, -1.500000),
    ('01941f29-7c00-7a1e-9a44-567a4daaeb0a', 16, 'Scotland', 'Scotland', 'Scotland', true, 56.800000, -4.200000),
    ('01941f29-7c00-7758-ba9f-24e209e25562', 17, 'Wales', 'Wales', 'Wales', true, 52.300000, -3.700000)
on conflict (region_id) do nothing;

alter table public.operators enable row level security;
alter table public.operators force row level security;
revoke all on public.operators from public, anon, authenticated, service_role;
drop policy if exists tenant_rows on public.operators;
create policy tenant_rows on public.operators for all to authenticated, pylon_actor using (id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid)) with check (id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid));
grant select (id, name, operator_type, email, metadata, is_simulated, created_at, updated_at) on public.operators to authenticated, service_role;
grant select, insert, update, delete on public.operators to pylon_actor;

alter table public.carbon_factors enable row level security;
alter table public.carbon_factors force row level security;
revoke all on public.carbon_factors from public, anon, authenticated, service_role;
drop policy if exists read_rows on public.carbon_factors;
create policy read_rows on public.carbon_factors for select to anon, authenticated, pylon_actor, pylon_catalog using (true);
drop policy if exists ingest_rows on public.carbon_factors;
create policy ingest_rows on public.carbon_factors for all to pylon_ingest using (true) with check (true);
grant select on public.carbon_factors to anon, authenticated, service_role, pylon_actor, pylon_catalog;
grant select, insert, update, delete on public.carbon_factors to pylon_ingest;

alter table public.regions enable row level security;
alter table public.regions force row level security;
revoke all on public.regions from public, anon, authenticated, service_role;
drop policy if exists read_rows on public.regions;
create policy read_rows on public.regions for select to anon, authenticated, pylon_actor, pylon_catalog using (true);
drop policy if exists ingest_rows on public.regions;
create policy ingest_rows on public.regions for all to pylon_ingest using (true) with check (true);
grant select on public.regions to anon, authenticated, service_role, pylon_actor, pylon_catalog;
grant select, insert, update, delete on public.regions to pylon_ingest;

alter table public.grid_signals enable row level security;
alter table public.grid_signals force row level security;
revoke all on public.grid_signals from public, anon, authenticated, service_role;
drop policy if exists read_rows on public.grid_signals;
create policy read_rows on public.grid_signals for select to anon, authenticated, pylon_actor, pylon_catalog using (true);
drop policy if exists ingest_rows on public.grid_signals;
create policy ingest_rows on public.grid_signals for all to pylon_ingest using (true) with check (true);
grant select on public.grid_signals to anon, authenticated, service_role, pylon_actor, pylon_catalog;
grant select, insert, update, delete on public.grid_signals to pylon_ingest;

alter table public.leases enable row level security;
alter table public.leases force row level security;
revoke all on public.leases from public, anon, authenticated, service_role;
drop policy if exists ingest_rows on public.leases;
create policy ingest_rows on public.leases for all to pylon_ingest using (true) with check (true);
grant select, insert, update, delete on public.leases to pylon_ingest;

alter table public.pipeline_runs enable row level security;
alter table public.pipeline_runs force row level security;
revoke all on public.pipeline_runs from public, anon, authenticated, service_role;
drop policy if exists read_rows on public.pipeline_runs;
create policy read_rows on public.pipeline_runs for select to authenticated, pylon_actor using (true);
drop policy if exists ingest_rows on public.pipeline_runs;
create policy ingest_rows on public.pipeline_runs for all to pylon_ingest using (true) with check (true);
grant select on public.pipeline_runs to authenticated, service_role, pylon_actor;
grant select, insert, update, delete on public.pipeline_runs to pylon_ingest;

alter table public.quality_flags enable row level security;
alter table public.quality_flags force row level security;
revoke all on public.quality_flags from public, anon, authenticated, service_role;
drop policy if exists read_rows on public.quality_flags;
create policy read_rows on public.quality_flags for select to anon, authenticated, pylon_actor, pylon_catalog using (true);
drop policy if exists ingest_rows on public.quality_flags;
create policy ingest_rows on public.quality_flags for all to pylon_ingest using (true) with check (true);
grant select on public.quality_flags to anon, authenticated, service_role, pylon_actor, pylon_catalog;
grant select, insert, update, delete on public.quality_flags to pylon_ingest;

alter table public.signal_vintages enable row level security;
alter table public.signal_vintages force row level security;
revoke all on public.signal_vintages from public, anon, authenticated, service_role;
drop policy if exists read_rows on public.signal_vintages;
create policy read_rows on public.signal_vintages for select to anon, authenticated, pylon_actor, pylon_catalog using (true);
drop policy if exists ingest_rows on public.signal_vintages;
create policy ingest_rows on public.signal_vintages for all to pylon_ingest using (true) with check (true);
grant select on public.signal_vintages to anon, authenticated, service_role, pylon_actor, pylon_catalog;
grant select, insert on public.signal_vintages to pylon_ingest;

alter table public.agents enable row level security;
alter table public.agents force row level security;
revoke all on public.agents from public, anon, authenticated, service_role;
drop policy if exists tenant_rows on public.agents;
create policy tenant_rows on public.agents for all to authenticated, pylon_actor using (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid)) with check (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid));
grant select on public.agents to authenticated, service_role;
grant select, insert, update, delete on public.agents to pylon_actor;

alter table public.chain_heads enable row level security;
alter table public.chain_heads force row level security;
revoke all on public.chain_heads from public, anon, authenticated, service_role;
drop policy if exists tenant_rows on public.chain_heads;
create policy tenant_rows on public.chain_heads for all to authenticated, pylon_actor using (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid)) with check (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid));
grant select on public.chain_heads to authenticated, service_role;
grant select, insert, update, delete on public.chain_heads to pylon_actor;

alter table public.idempotency_keys enable row level security;
alter table public.idempotency_keys force row level security;
revoke all on public.idempotency_keys from public, anon, authenticated, service_role;
drop policy if exists tenant_rows on public.idempotency_keys;
create policy tenant_rows on public.idempotency_keys for all to authenticated, pylon_actor using (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid)) with check (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid));
grant select on public.idempotency_keys to authenticated, service_role;
grant select, insert, update, delete on public.idempotency_keys to pylon_actor;

alter table public.plan_inputs enable row level security;
alter table public.plan_inputs force row level security;
revoke all on public.plan_inputs from public, anon, authenticated, service_role;
drop policy if exists tenant_rows on public.plan_inputs;
create policy tenant_rows on public.plan_inputs for all to authenticated, pylon_actor using (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid)) with check (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid));
grant select on public.plan_inputs to authenticated, service_role;
grant select, insert on public.plan_inputs to pylon_actor;

alter table public.tariff_rates enable row level security;
alter table public.tariff_rates force row level security;
revoke all on public.tariff_rates from public, anon, authenticated, service_role;
drop policy if exists tenant_rows on public.tariff_rates;
create policy tenant_rows on public.tariff_rates for all to authenticated, pylon_actor using (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid)) with check (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid));
grant select on public.tariff_rates to authenticated, service_role;
grant select, insert, update, delete on public.tariff_rates to pylon_actor;

alter table public.data_centres enable row level security;
alter table public.data_centres force row level security;
revoke all on public.data_centres from public, anon, authenticated, service_role;
drop policy if exists tenant_rows on public.data_centres;
create policy tenant_rows on public.data_centres for all to authenticated, pylon_actor using (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid)) with check (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid));
grant select on public.data_centres to authenticated, service_role;
grant select, insert, update, delete on public.data_centres to pylon_actor;

alter table public.regional_grid_signals enable row level security;
alter table public.regional_grid_signals force row level security;
revoke all on public.regional_grid_signals from public, anon, authenticated, service_role;
drop policy if exists read_rows on public.regional_grid_signals;
create policy read_rows on public.regional_grid_signals for select to anon, authenticated, pylon_actor, pylon_catalog using (true);
drop policy if exists ingest_rows on public.regional_grid_signals;
create policy ingest_rows on public.regional_grid_signals for all to pylon_ingest using (true) with check (true);
grant select on public.regional_grid_signals to anon, authenticated, service_role, pylon_actor, pylon_catalog;
grant select, insert, update, delete on public.regional_grid_signals to pylon_ingest;

alter table public.plans enable row level security;
alter table public.plans force row level security;
revoke all on public.plans from public, anon, authenticated, service_role;
drop policy if exists tenant_rows on public.plans;
create policy tenant_rows on public.plans for all to authenticated, pylon_actor using (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid)) with check (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid));
grant select on public.plans to authenticated, service_role;
grant select, insert, update, delete on public.plans to pylon_actor;

alter table public.agent_states enable row level security;
alter table public.agent_states force row level security;
revoke all on public.agent_states from public, anon, authenticated, service_role;
drop policy if exists tenant_rows on public.agent_states;
create policy tenant_rows on public.agent_states for all to authenticated, pylon_actor using (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid)) with check (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid));
grant select on public.agent_states to authenticated, service_role;
grant select, insert, update, delete on public.agent_states to pylon_actor;

alter table public.storage_assets enable row level security;
alter table public.storage_assets force row level security;
revoke all on public.storage_assets from public, anon, authenticated, service_role;
drop policy if exists tenant_rows on public.storage_assets;
create policy tenant_rows on public.storage_assets for all to authenticated, pylon_actor using (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid)) with check (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid));
grant select on public.storage_assets to authenticated, service_role;
grant select, insert, update, delete on public.storage_assets to pylon_actor;

alter table public.generation_mix enable row level security;
alter table public.generation_mix force row level security;
revoke all on public.generation_mix from public, anon, authenticated, service_role;
drop policy if exists read_rows on public.generation_mix;
create policy read_rows on public.generation_mix for select to anon, authenticated, pylon_actor, pylon_catalog using (true);
drop policy if exists ingest_rows on public.generation_mix;
create policy ingest_rows on public.generation_mix for all to pylon_ingest using (true) with check (true);
grant select on public.generation_mix to anon, authenticated, service_role, pylon_actor, pylon_catalog;
grant select, insert, update, delete on public.generation_mix to pylon_ingest;

alter table public.compute_workloads enable row level security;
alter table public.compute_workloads force row level security;
revoke all on public.compute_workloads from public, anon, authenticated, service_role;
drop policy if exists tenant_rows on public.compute_workloads;
create policy tenant_rows on public.compute_workloads for all to authenticated, pylon_actor using (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid)) with check (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid));
grant select on public.compute_workloads to authenticated, service_role;
grant select, insert, update, delete on public.compute_workloads to pylon_actor;

alter table public.plan_results enable row level security;
alter table public.plan_results force row level security;
revoke all on public.plan_results from public, anon, authenticated, service_role;
drop policy if exists tenant_rows on public.plan_results;
create policy tenant_rows on public.plan_results for all to authenticated, pylon_actor using (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid)) with check (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid));
grant select on public.plan_results to authenticated, service_role;
grant select, insert on public.plan_results to pylon_actor;

alter table public.orchestration_decisions enable row level security;
alter table public.orchestration_decisions force row level security;
revoke all on public.orchestration_decisions from public, anon, authenticated, service_role;
drop policy if exists tenant_rows on public.orchestration_decisions;
create policy tenant_rows on public.orchestration_decisions for all to authenticated, pylon_actor using (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid)) with check (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid));
grant select on public.orchestration_decisions to authenticated, service_role;
grant select, insert on public.orchestration_decisions to pylon_actor;

alter table public.workload_consumption enable row level security;
alter table public.workload_consumption force row level security;
revoke all on public.workload_consumption from public, anon, authenticated, service_role;
drop policy if exists tenant_rows on public.workload_consumption;
create policy tenant_rows on public.workload_consumption for all to authenticated, pylon_actor using (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid)) with check (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid));
grant select on public.workload_consumption to authenticated, service_role;
grant select, insert, update, delete on public.workload_consumption to pylon_actor;

alter table public.decision_outcomes enable row level security;
alter table public.decision_outcomes force row level security;
revoke all on public.decision_outcomes from public, anon, authenticated, service_role;
drop policy if exists tenant_rows on public.decision_outcomes;
create policy tenant_rows on public.decision_outcomes for all to authenticated, pylon_actor using (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid)) with check (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid));
grant select on public.decision_outcomes to authenticated, service_role;
grant select, insert on public.decision_outcomes to pylon_actor;

alter table public.load_limits enable row level security;
alter table public.load_limits force row level security;
revoke all on public.load_limits from public, anon, authenticated, service_role;
drop policy if exists tenant_rows on public.load_limits;
create policy tenant_rows on public.load_limits for all to authenticated, pylon_actor using (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid)) with check (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid));
grant select on public.load_limits to authenticated, service_role;
grant select, insert, update, delete on public.load_limits to pylon_actor;

alter table public.storage_dispatches enable row level security;
alter table public.storage_dispatches force row level security;
revoke all on public.storage_dispatches from public, anon, authenticated, service_role;
drop policy if exists tenant_rows on public.storage_dispatches;
create policy tenant_rows on public.storage_dispatches for all to authenticated, pylon_actor using (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid)) with check (operator_id = (select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb #>> '{app_metadata,operator_id}')::uuid));
grant select on public.storage_dispatches to authenticated, service_role;
grant select, insert, update, delete on public.storage_dispatches to pylon_actor;

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

revoke all on function public.ingest_national(jsonb, jsonb, timestamptz) from public, anon, authenticated, service_role;
grant execute on function public.ingest_national(jsonb, jsonb, timestamptz) to pylon_ingest;
revoke all on function public.ingest_regional(jsonb, text, jsonb, timestamptz) from public, anon, authenticated, service_role;
grant execute on function public.ingest_regional(jsonb, text, jsonb, timestamptz) to pylon_ingest;
revoke all on function public.ingest_factors(jsonb, text, jsonb, timestamptz) from public, anon, authenticated, service_role;
grant execute on function public.ingest_factors(jsonb, text, jsonb, timestamptz) to pylon_ingest;
revoke all on function public.record_vintages(jsonb, uuid, timestamptz) from public, anon, authenticated, service_role;
grant execute on function public.record_vintages(jsonb, uuid, timestamptz) to pylon_ingest;
revoke all on function public.record_flags(jsonb, jsonb, uuid, timestamptz) from public, anon, authenticated, service_role;
grant execute on function public.record_flags(jsonb, jsonb, uuid, timestamptz) to pylon_ingest;
revoke all on function public.take_lease(text, uuid, timestamptz, integer) from public, anon, authenticated, service_role;
grant execute on function public.take_lease(text, uuid, timestamptz, integer) to pylon_ingest;
revoke all on function public.release_lease(text, uuid) from public, anon, authenticated, service_role;
grant execute on function public.release_lease(text, uuid) to pylon_ingest;
revoke all on function private.accepts(text, text, jsonb) from public, anon, authenticated, service_role;
grant execute on function private.accepts(text, text, jsonb) to pylon_ingest;

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

create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (
    version text not null primary key,
    statements text[],
    name text
);
insert into supabase_migrations.schema_migrations (version, name) values
    ('20261122090000', 'backbone'),
    ('20261122140000', 'every_source'),
    ('20261122180000', 'deciding'),
    ('20261122210000', 'plans'),
    ('20261122220000', 'forecasts')
on conflict (version) do nothing;

commit;
