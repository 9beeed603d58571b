-- Every hand-written statement that Pylon runs, by name. Values are named, never pasted in. What follows from the
-- ontology (reading or adding the rows of an object type) is in objects.py; what must be one statement for any
-- client (ingest, leases) is a function in src/pylon/derive/fragments and is only called here.

-- name: become
-- First in every transaction: the role it runs as, the operator it acts for, and how long a statement may take.
select set_config('role', %(role)s, true),
       set_config('request.jwt.claims', %(claims)s, true),
       set_config('statement_timeout', %(timeout_ms)s, true);

-- name: snapshot
-- A text that changes whenever a transaction that wrote anything has ended, anywhere in the database server.
select pg_current_snapshot()::text;

-- name: take_lease
select public.take_lease(%(name)s, %(holder)s, %(now)s, %(term_s)s);

-- name: release_lease
select public.release_lease(%(name)s, %(holder)s);

-- name: lease
select name, holder, acquired_at, expires_at from public.leases where name = %(name)s;

-- name: hold_lease
-- Locks the lease row until the transaction ends, so that what is written under it is written by its holder.
select 1 from public.leases
where name = %(name)s and holder = %(holder)s and expires_at > %(now)s
for update;

-- name: start_run
insert into public.pipeline_runs (id, status, trigger, started_at) values (%(id)s, 'RUNNING', %(trigger)s, %(now)s);

-- name: finish_run
update public.pipeline_runs
set status = %(status)s::public.run_status, finished_at = %(now)s, report = %(report)s::jsonb
where id = %(id)s;

-- name: amend_run
-- Adds to the report of a run that has committed.
update public.pipeline_runs set report = report || %(report)s::jsonb where id = %(id)s;

-- name: abandon_runs
-- Runs whose process ended before it could say how: the lease is ours, so nobody is at work on them.
update public.pipeline_runs
set status = 'FAILED', finished_at = %(now)s,
    report = report || '{"error": {"code": "abandoned", "detail": "The process ended before the run did."}}'
where status = 'RUNNING' and id <> %(id)s;

-- name: latest_runs
select id, status, trigger, started_at, finished_at, report
from public.pipeline_runs order by started_at desc, id desc limit %(limit)s;

-- name: last_committed_run
select id, status, trigger, started_at, finished_at, report from public.pipeline_runs
where status in ('SUCCEEDED', 'PARTIAL') order by finished_at desc, id desc limit 1;

-- name: ingest_national
select public.ingest_national(%(rows)s::jsonb, %(now)s);

-- name: ingest_regional
select public.ingest_regional(%(rows)s::jsonb, %(source)s, %(now)s);

-- name: ingest_factors
select public.ingest_factors(%(factors)s::jsonb, %(source)s, %(now)s);

-- name: record_vintages
select public.record_vintages(%(series)s::jsonb, %(run_id)s, %(now)s);

-- name: refresh_centre_carbon
-- The one writer of data_centres.current_carbon_intensity and of its label; null where no signal is stored.
update public.data_centres d
set current_carbon_intensity = present.carbon, current_carbon_source = present.source
from (
    select r.id as region_id, s.carbon_intensity_forecast as carbon, s.data_source as source
    from public.regions r
    left join public.regional_grid_signals s on s.region_id = r.id and s."timestamp" = %(half_hour)s
) present
where present.region_id = d.region_id
  and (d.current_carbon_intensity, d.current_carbon_source) is distinct from (present.carbon, present.source);

-- name: quantity_history
-- Trailing half hours of demand and price that no simulator made, for ranking the present ones; oldest first.
select "timestamp",
       case when provenance ->> 'demand' <> 'simulated' then demand_mw end as demand_mw,
       case when provenance ->> 'price' <> 'simulated' then wholesale_price_gbp_mwh::float8 end as price_gbp_mwh
from public.grid_signals
where "timestamp" >= %(start)s and "timestamp" < %(end)s
  and (provenance ->> 'demand' <> 'simulated' or provenance ->> 'price' <> 'simulated')
order by "timestamp";

-- name: national_signals
-- One row a half hour of [start, end), whether or not a signal is stored for it.
select h as "timestamp", s.id, s.settlement_period, s.carbon_intensity_forecast, s.carbon_intensity_actual,
       s.carbon_index, s.carbon_index_computed, s.demand_mw, s.grid_stress_score::float8 as grid_stress_score,
       s.grid_stress_detail, s.wholesale_price_gbp_mwh::float8 as wholesale_price_gbp_mwh,
       s.data_source, s.provenance, s.is_forecast, s.fetched_at
from generate_series(%(start)s::timestamptz, %(end)s::timestamptz - interval '30 minutes', interval '30 minutes') h
left join public.grid_signals s on s."timestamp" = h
order by h;

-- name: regional_series
-- One row a region: its forecast over the half hours of [start, end), in order, null where none is stored.
select r.region_id,
       array_agg(s.carbon_intensity_forecast order by h) as carbon_intensity_forecast,
       array_agg(s.data_source order by h) as data_source,
       max(s.fetched_at) as fetched_at
from public.regions r
cross join generate_series(
    %(start)s::timestamptz, %(end)s::timestamptz - interval '30 minutes', interval '30 minutes') h
left join public.regional_grid_signals s on s.region_id = r.id and s."timestamp" = h
group by r.region_id
order by r.region_id;

-- name: regional_now
-- The signals of one half hour, one row a region.
select s.id, s.region_id, s."timestamp", s.carbon_intensity_forecast, s.carbon_intensity_actual, s.carbon_index,
       s.carbon_index_computed, s.data_source, s.fetched_at
from public.regional_grid_signals s
join public.regions r on r.id = s.region_id
where s."timestamp" = %(half_hour)s
order by r.region_id;

-- name: mix_now
-- The generation mix of one half hour, national and regional.
select m.id, m.grid_signal_id, m.regional_signal_id, m."timestamp", m.fuel_type,
       m.percentage::float8 as percentage, m.fetched_at
from public.generation_mix m
left join public.regional_grid_signals s on s.id = m.regional_signal_id
left join public.regions r on r.id = s.region_id
where coalesce(m.grid_signal_id in (select g.id from public.grid_signals g where g."timestamp" = %(half_hour)s), false)
   or coalesce(s."timestamp" = %(half_hour)s, false)
order by r.region_id nulls first, m.percentage desc, m.fuel_type;

-- name: regions
select id, region_id, short_name, dno_region, country, is_aggregate,
       latitude::float8 as latitude, longitude::float8 as longitude
from public.regions order by region_id;

-- name: factors
select fuel, factor_gco2_kwh, data_source, fetched_at from public.carbon_factors order by fuel;

-- name: signal_stock
-- What is held of each quantity of the signals in [start, end): half hours, by source, and when last retrieved.
select 'GridSignal' as object_type, q.key as quantity, q.value as source, count(*) as rows,
       max(s.fetched_at) as fetched_at
from public.grid_signals s cross join lateral jsonb_each_text(s.provenance) q
where s."timestamp" >= %(start)s and s."timestamp" < %(end)s
group by q.key, q.value
union all
select 'RegionalGridSignal', 'carbon', s.data_source, count(*), max(s.fetched_at)
from public.regional_grid_signals s
where s."timestamp" >= %(start)s and s."timestamp" < %(end)s
group by s.data_source
union all
select 'CarbonFactor', 'factors', f.data_source, count(*), max(f.fetched_at)
from public.carbon_factors f group by f.data_source
order by 1, 2, 3;

-- name: last_simulated_arrival
-- Until when simulated workloads have been generated: arrivals are made once for each half hour.
select max(created_at) from public.compute_workloads where operator_id = %(operator_id)s and is_simulated;

-- name: catalog_centres
select d.id, d.dc_id, d.name, d.operator_id, o.name as operator_name, r.region_id, r.short_name, d.pue::float8 as pue, d.total_capacity_mw::float8 as total_capacity_mw,
       d.flexibility_rating::float8 as flexibility_rating,
       d.ramp_rate_mw_per_min::float8 as ramp_rate_mw_per_min, d.base_load_mw::float8 as base_load_mw,
       d.gpu_count, d.status::text as status, d.is_simulated
from public.data_centres d
join public.operators o on o.id = d.operator_id
join public.regions r on r.id = d.region_id
where d.published
order by o.name, d.dc_id;

-- name: catalog_load
-- Power promised at published data centres, by workload, in [start, end).
-- A job that runs on past its time holds its room for the first half hour still.
with job as (
    select w.host_dc_id, w.power_kw, w.status = 'RUNNING' as is_running,
           coalesce(w.started_at, w.scheduled_start, w.created_at) as begins, w.duration_mins
    from public.compute_workloads w
    where w.status in ('QUEUED', 'RUNNING') and w.host_dc_id is not null
      and (w.status = 'RUNNING' or w.scheduled_start is not null)
), span as (
    select host_dc_id, power_kw, begins,
           greatest(begins + make_interval(mins => duration_mins),
                    case when is_running then %(start)s::timestamptz + interval '30 minutes' end) as ends
    from job
)
select host_dc_id, begins, ends, power_kw::float8 as power_kw
from span where begins < %(end)s and ends > %(start)s;

-- name: catalog_regional
select r.region_id, s."timestamp", s.carbon_intensity_forecast, s.data_source
from public.regional_grid_signals s join public.regions r on r.id = s.region_id
where s."timestamp" >= %(start)s and s."timestamp" < %(end)s;

-- name: note_about_operator
update public.operators set metadata = metadata || %(note)s::jsonb where id = %(operator_id)s;

-- name: purge_workloads
-- What a decision names stays: the log must be able to show it.
delete from public.compute_workloads w
where w.operator_id = %(operator_id)s and w.is_simulated
  and not exists (select from public.orchestration_decisions d
                  where d.operator_id = w.operator_id and d.workload_id = w.id);

-- name: purge_storage
delete from public.storage_assets a where a.operator_id = %(operator_id)s and a.is_simulated;

-- name: purge_agents
delete from public.agents a
where a.operator_id = %(operator_id)s and a.is_simulated
  and not exists (select from public.orchestration_decisions d
                  where d.operator_id = a.operator_id and d.agent_id = a.id);

-- name: purge_centres
delete from public.data_centres c
where c.operator_id = %(operator_id)s and c.is_simulated
  and not exists (select from public.orchestration_decisions d
                  where d.operator_id = c.operator_id and c.id in (d.source_dc_id, d.target_dc_id))
  and not exists (select from public.compute_workloads w
                  where w.operator_id = c.operator_id and c.id in (w.host_dc_id, w.origin_dc_id))
  and not exists (select from public.storage_assets a
                  where a.operator_id = c.operator_id and a.co_located_dc_id = c.id);

-- name: purge_operator
delete from public.operators o
where o.id = %(operator_id)s and o.is_simulated
  and not exists (select from public.data_centres c where c.operator_id = o.id)
  and not exists (select from public.agents a where a.operator_id = o.id)
  and not exists (select from public.compute_workloads w where w.operator_id = o.id)
  and not exists (select from public.orchestration_decisions d where d.operator_id = o.id);
