-- Every hand-written statement that Pylon runs, by name. Values are named, never pasted in. What follows from the
-- ontology (reading or adding the rows of an object type) is in objects.py; what must be one statement for any
-- client (ingest, leases) is a function in src/pylon/derive/fragments and is only called here.

-- name: become
-- First in every transaction: the role it runs as, the operator it acts for, how long a statement may take, and the
-- zone in which times come back, which is the driver's to read.
select set_config('role', %(role)s, true),
       set_config('request.jwt.claims', %(claims)s, true),
       set_config('statement_timeout', %(timeout_ms)s, true),
       set_config('timezone', 'UTC', true);

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
where status in ('SUCCEEDED', 'PARTIAL') and trigger <> 'import' order by finished_at desc, id desc limit 1;

-- name: store_alone
-- Waits until no other transaction stores signals, and keeps others waiting until this one ends: of two that store
-- the same new half hour at once, one would find its mix without a signal. The number is Pylon's own choice.
select pg_advisory_xact_lock(735001);

-- name: ingest_national
select public.ingest_national(%(rows)s::jsonb, %(ranks)s::jsonb, %(now)s);

-- name: ingest_regional
select public.ingest_regional(%(rows)s::jsonb, %(source)s, %(ranks)s::jsonb, %(now)s);

-- name: ingest_factors
select public.ingest_factors(%(factors)s::jsonb, %(source)s, %(ranks)s::jsonb, %(now)s);

-- name: record_vintages
select public.record_vintages(%(series)s::jsonb, %(run_id)s, %(now)s);

-- name: record_flags
select public.record_flags(%(flags)s::jsonb, %(checked)s::jsonb, %(run_id)s, %(now)s);

-- name: carbon_known
-- Carbon and mix of the half hours of [start, end) that no simulator made, for judging what has come since.
select s."timestamp",
       case when s.provenance ->> 'carbon' <> 'simulated' then s.carbon_intensity_forecast end as forecast,
       case when s.provenance ->> 'carbon' <> 'simulated' then s.carbon_intensity_actual end as actual,
       (select jsonb_object_agg(m.fuel_type, m.percentage) from public.generation_mix m
        where m.grid_signal_id = s.id and s.provenance ->> 'mix' <> 'simulated') as mix
from public.grid_signals s
where s."timestamp" >= %(start)s and s."timestamp" < %(end)s
order by s."timestamp";

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
       s.system_price_gbp_mwh::float8 as system_price_gbp_mwh,
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

-- name: run_committed_by
-- The last run that had committed at `as_of`: what was known then is what it and those before it left.
select id, status, trigger, started_at, finished_at, report from public.pipeline_runs
where status in ('SUCCEEDED', 'PARTIAL') and trigger <> 'import' and finished_at <= %(as_of)s
order by finished_at desc, id desc limit 1;

-- name: signals_known
-- Series are named national.COLUMN or region.NUMBER.COLUMN, as in signal_vintages, here and below.
-- What had been recorded by `as_of` of these series in [start, end): in each half hour the value of the source that
-- ranks highest (a label that is not in `ranks` is 10, as for private.accepts), of equals the latest. No row where
-- nobody had given a value. Of each source only those values are looked at that its next vintage does not repeat or
-- replace: a hundred vintages may cover one half hour.
with vintage as (
    select v.series, v.source, v.recorded_at, v.starts_at, v.half_hour_values,
           lead(v.half_hour_values) over later as next_values,
           (extract(epoch from v.starts_at - lead(v.starts_at) over later) / 1800)::integer as next_offset
    from public.signal_vintages v
    where v.series = any(%(series)s::text[]) and v.recorded_at <= %(as_of)s and v.starts_at < %(end)s
      and v.starts_at + cardinality(v.half_hour_values) * interval '30 minutes' > %(start)s
    window later as (partition by v.series, v.source order by v.recorded_at, v.run_id)
), last as (
    select v.series, v.source, v.recorded_at, x.value,
           v.starts_at + (x.position - 1) * interval '30 minutes' as half_hour
    from vintage v
    cross join lateral unnest(v.half_hour_values) with ordinality as x(value, position)
    where x.value is not null and v.next_values[v.next_offset + x.position] is null
)
select distinct on (series, half_hour) series, half_hour, value, source, recorded_at
from last
where half_hour >= %(start)s and half_hour < %(end)s
order by series, half_hour, coalesce((%(ranks)s::jsonb ->> source)::integer, 10) desc, recorded_at desc, source;

-- name: flags_known
-- The values that were withheld at `as_of` of half hours of [start, end) of these series. A flag without a raw value
-- says that none came: nothing is withheld there.
select series, starts_at, rule, raw, reason, run_id, flagged_at, cleared_at
from public.quality_flags
where series = any(%(series)s::text[]) and starts_at >= %(start)s and starts_at < %(end)s
  and flagged_at <= %(as_of)s and (cleared_at is null or cleared_at > %(as_of)s)
  and raw <> 'null'
order by series, starts_at, rule;

-- name: first_vintage
select min(recorded_at) from public.signal_vintages where series = %(series)s;

-- name: regional_values
-- One row a half hour of [start, end) of one region, whether or not a signal is stored for it.
select h as "timestamp", s.carbon_intensity_forecast, s.data_source, s.fetched_at
from generate_series(%(start)s::timestamptz, %(end)s::timestamptz - interval '30 minutes', interval '30 minutes') h
left join public.regional_grid_signals s on s."timestamp" = h
    and s.region_id = (select r.id from public.regions r where r.region_id = %(region_id)s)
order by h;

-- name: signals_held
-- Of each series that is stored: its first and last half hour, and the sources of its values.
select 'national.' || c.name as series, min(s."timestamp") as first, max(s."timestamp") as last,
       array_agg(distinct c.source) as sources
from public.grid_signals s
cross join lateral (values
    ('carbon_intensity_forecast', s.carbon_intensity_forecast is not null, s.provenance ->> 'carbon'),
    ('carbon_intensity_actual', s.carbon_intensity_actual is not null, s.provenance ->> 'carbon'),
    ('demand_mw', s.demand_mw is not null, s.provenance ->> 'demand'),
    ('wholesale_price_gbp_mwh', s.wholesale_price_gbp_mwh is not null, s.provenance ->> 'price'),
    ('system_price_gbp_mwh', s.system_price_gbp_mwh is not null, s.provenance ->> 'system_price'),
    ('grid_stress_score', s.grid_stress_score is not null, s.provenance ->> 'stress')) as c(name, is_held, source)
where c.is_held
group by c.name
union all
select 'region.' || r.region_id || '.carbon_intensity_forecast', min(s.first), max(s.last), array_agg(s.source)
from (
    select region_id, data_source as source, min("timestamp") as first, max("timestamp") as last
    from public.regional_grid_signals
    where carbon_intensity_forecast is not null
    group by region_id, data_source
) s
join public.regions r on r.id = s.region_id
group by r.region_id;

-- name: vintages_held
-- When each series last came otherwise than the time before, from any source: one that is not believed included.
select series, max(recorded_at) as latest
from public.signal_vintages group by series;

-- name: open_flags
-- How many values of each series are withheld at present, by rule.
select series, rule, count(*) as values_withheld
from public.quality_flags where cleared_at is null and raw <> 'null'
group by series, rule order by series, rule;

-- name: newest_open_flags
-- The newest few of each series.
select series, starts_at, rule, raw, reason, run_id, flagged_at, cleared_at
from (
    select q.*, row_number() over (partition by q.series order by q.flagged_at desc, q.starts_at desc, q.rule) as place
    from public.quality_flags q where q.cleared_at is null and q.raw <> 'null'
) f
where f.place <= %(limit)s
order by flagged_at desc, starts_at desc, series, rule;

-- name: quality_flags
-- Flags, cleared ones too, newest first; `total` is how many there are in all.
select series, starts_at, rule, raw, reason, run_id, flagged_at, cleared_at, count(*) over () as total
from public.quality_flags
where starts_at >= coalesce(%(start)s::timestamptz, '-infinity')
  and starts_at < coalesce(%(end)s::timestamptz, 'infinity')
  and (%(series)s::text is null or series = %(series)s::text)
order by flagged_at desc, starts_at desc, series, rule
limit %(limit)s;

-- name: forecast_skill
-- How far the forecasts of a series lay from what became of it, by source and horizon, over the half hours [start, end).
-- Every vintage counts that was recorded before its half hour began. An actual counts when it is not withheld and,
-- unless `outturns` is null, its source is one of them; a simulated value of the series itself is an actual once the
-- simulator has spoken of the half hour after its end. Simulated forecasts meet simulated actuals, and real ones real
-- ones. `from_h` is the lower bound of the horizon in hours.
with vintage as materialized (
    -- Without the half hours that had begun.
    select v.source, v.half_hour_values[v.begun + 1:] as half_hour_values,
           v.starts_at + v.begun * interval '30 minutes' as starts_at,
           extract(epoch from v.starts_at + v.begun * interval '30 minutes' - v.recorded_at)::float8 / 3600 as horizon_h
    from (
        select *, greatest(0, 1 + floor(extract(epoch from recorded_at - starts_at) / 1800))::integer as begun
        from public.signal_vintages
        where series = %(series)s and recorded_at < %(end)s and starts_at < %(end)s
          and starts_at + cardinality(half_hour_values) * interval '30 minutes' > %(start)s
    ) v
), stored as (
    select s."timestamp" as half_hour, s.provenance ->> %(quantity)s::text as source,
           case %(column)s::text
               when 'carbon_intensity_actual' then s.carbon_intensity_actual::float8
               when 'demand_mw' then s.demand_mw::float8
               when 'wholesale_price_gbp_mwh' then s.wholesale_price_gbp_mwh::float8
           end as value
    from public.grid_signals s
    where s."timestamp" >= %(start)s and s."timestamp" < %(end)s
), settled as (
    -- The half hours of which the simulator has spoken after their end.
    select distinct v.starts_at + (x.position - 1) * interval '30 minutes' as half_hour
    from public.signal_vintages v
    cross join lateral unnest(v.half_hour_values) with ordinality as x(value, position)
    where %(outturns)s::text[] is not null and v.series = %(series)s and v.source = 'simulated'
      and v.starts_at < %(end)s and v.recorded_at > %(start)s
      and x.value is not null and v.recorded_at >= v.starts_at + x.position * interval '30 minutes'
), actual as materialized (
    select a.half_hour, a.value, a.source = 'simulated' as is_simulated
    from stored a
    where a.value is not null
      and (%(outturns)s::text[] is null
           or a.source = any(%(outturns)s::text[])
           or (a.source = 'simulated' and a.half_hour in (select half_hour from settled)))
      and not exists (
          select from public.quality_flags q
          where q.series = %(actual)s and q.starts_at = a.half_hour and q.cleared_at is null)
), missed as (
    select v.source, v.horizon_h + (x.position - 1) * 0.5::float8 as horizon_h, x.value - a.value as error
    from vintage v
    cross join lateral unnest(v.half_hour_values) with ordinality as x(value, position)
    join actual a on a.half_hour = v.starts_at + (x.position - 1) * interval '30 minutes'
        and a.is_simulated = (v.source = 'simulated')
    where x.value is not null
), placed as (
    select source, error,
           case when horizon_h < 1 then 0 when horizon_h < 3 then 1 when horizon_h < 6 then 3 when horizon_h < 12 then 6
                when horizon_h < 24 then 12 when horizon_h < 48 then 24 else 48 end as from_h
    from missed
)
select source, from_h, count(*) as n, avg(abs(error)) as mae, avg(error) as bias, sqrt(avg(error * error)) as rmse,
       percentile_cont(0.95) within group (order by abs(error)) as p95_abs_error
from placed
group by source, from_h
order by source, from_h;

-- name: tariff_rates_in_force
-- The rate that holds at `start` of each of the operator's tariffs, and those that begin after it and before `end`.
select t.id, t.operator_id, t.tariff, t.starts_at, t.price_gbp_mwh::float8 as price_gbp_mwh, t.is_simulated, t.created_at
from public.tariff_rates t
where t.operator_id = %(operator_id)s and t.starts_at < %(end)s
  and (t.starts_at > %(start)s or t.starts_at = (
      select max(p.starts_at) from public.tariff_rates p
      where p.operator_id = t.operator_id and p.tariff = t.tariff and p.starts_at <= %(start)s))
order by t.tariff, t.starts_at;
