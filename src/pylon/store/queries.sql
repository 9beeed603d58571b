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
-- Carbon and mix of the half hours of [start, end) as a source gave them, for judging what has come since.
select s."timestamp",
       case when s.provenance ->> 'carbon' not in ('simulated', 'pylon_forecast_v1')
            then s.carbon_intensity_forecast end as forecast,
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
-- Trailing half hours of demand and price as a source gave them, for ranking the present ones; oldest first.
select "timestamp",
       case when provenance ->> 'demand' not in ('simulated', 'pylon_forecast_v1') then demand_mw end as demand_mw,
       case when provenance ->> 'price' not in ('simulated', 'pylon_forecast_v1')
            then wholesale_price_gbp_mwh::float8 end as price_gbp_mwh
from public.grid_signals
where "timestamp" >= %(start)s and "timestamp" < %(end)s
  and (provenance ->> 'demand' not in ('simulated', 'pylon_forecast_v1')
       or provenance ->> 'price' not in ('simulated', 'pylon_forecast_v1'))
order by "timestamp";

-- name: national_past
-- One row a half hour of [start, end): carbon, demand and price as a source gave them, null where none did. The actual
-- intensity, or the last forecast where it is not known.
select case when s.provenance ->> 'carbon' not in ('simulated', 'pylon_forecast_v1')
            then coalesce(s.carbon_intensity_actual, s.carbon_intensity_forecast)::float8 end as carbon,
       case when s.provenance ->> 'demand' not in ('simulated', 'pylon_forecast_v1')
            then s.demand_mw::float8 end as demand,
       case when s.provenance ->> 'price' not in ('simulated', 'pylon_forecast_v1')
            then s.wholesale_price_gbp_mwh::float8 end as price
from generate_series(%(start)s::timestamptz, %(end)s::timestamptz - interval '30 minutes', interval '30 minutes') h
left join public.grid_signals s on s."timestamp" = h
order by h;

-- name: regional_past
-- One row a region of those in `regions`: its carbon over the half hours of [start, end), in order, as a source gave it;
-- null where none did.
select r.region_id,
       array_agg(coalesce(s.carbon_intensity_actual, s.carbon_intensity_forecast)::float8 order by h) as carbon
from public.regions r
cross join generate_series(
    %(start)s::timestamptz, %(end)s::timestamptz - interval '30 minutes', interval '30 minutes') h
left join public.regional_grid_signals s on s.region_id = r.id and s."timestamp" = h
    and s.data_source not in ('simulated', 'pylon_forecast_v1')
where r.region_id = any(%(regions)s::integer[])
group by r.region_id
order by r.region_id;

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
       array_agg(s.carbon_intensity_upper order by h) as carbon_intensity_upper,
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
    select w.id, w.operator_id, w.host_dc_id, w.power_kw, w.status = 'RUNNING' as is_running,
           coalesce(w.started_at, w.scheduled_start, w.created_at) as begins, w.duration_mins
    from public.compute_workloads w
    where w.status not in ('PENDING', 'COMPLETED', 'FAILED', 'CANCELLED') and w.host_dc_id is not null
      and (w.status = 'RUNNING' or w.scheduled_start is not null)
), placed as (
    select j.host_dc_id, j.power_kw, j.is_running, coalesce(p.starts_at, j.begins) as begins,
           coalesce(p.ends_at, j.begins + make_interval(mins => j.duration_mins)) as ends,
           row_number() over (partition by j.id order by p.starts_at desc) = 1 as is_last
    from job j
    left join public.workload_placements p on p.operator_id = j.operator_id and p.workload_id = j.id
), span as (
    select host_dc_id, power_kw, begins,
           greatest(ends, case when is_running and is_last then %(start)s::timestamptz + interval '30 minutes' end) as ends
    from placed
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
delete from public.storage_assets a
where a.operator_id = %(operator_id)s and a.is_simulated
  and not exists (select from public.orchestration_decisions d
                  where d.operator_id = a.operator_id and d.storage_asset_id = a.id);

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

-- name: append_decisions
-- The contents travel as one JSON text: the driver takes far longer over an array of many texts.
select seq, prev_hash, hash
from public.append_decisions(
    %(operator_id)s,
    array(select c.content from json_array_elements_text(%(contents)s::json) with ordinality as c(content, place)
          order by c.place),
    %(now)s);

-- name: check_decisions
select checked, last_seq, last_hash, fault_seq, fault
from public.check_decisions(%(operator_id)s, %(after)s, %(upto)s, %(hash)s);

-- name: chain_head
select seq, hash, updated_at from public.chain_heads where operator_id = %(operator_id)s;

-- name: count_decisions
select count(*) from public.orchestration_decisions where operator_id = %(operator_id)s;

-- name: hashes_at
select seq, hash from public.orchestration_decisions
where operator_id = %(operator_id)s and seq = any(%(seqs)s);

-- name: log_page
select seq, prev_hash, hash, content from public.orchestration_decisions
where operator_id = %(operator_id)s and seq between %(first)s and %(last)s
order by seq limit %(limit)s;

-- name: enter_operator
-- Locks the operator until the transaction ends: its actions are performed one after another. The revision grows, so
-- that whoever kept something of the operator in memory knows whether anything has been done since. It does not when
-- signals come in or a data centre is changed: the rest of the row does (and see 85_desk.sql). That rest is of the
-- moment before the wait for the lock. Whoever changed the operator's own rows in that time has counted the revision
-- up; a pipeline run that was committed in that time has not, so that one transaction may decide on the run before it.
insert into public.chain_heads as h (operator_id, seq, hash, revision, updated_at)
values (%(operator_id)s, 0, repeat('0', 64), 1, %(now)s)
on conflict (operator_id) do update set revision = h.revision + 1, updated_at = %(now)s
returning h.seq, h.revision, set_config('pylon.at_desk', 'yes', true) as at_desk,
    (select r.id from public.pipeline_runs r where r.status in ('SUCCEEDED', 'PARTIAL')
     order by r.finished_at desc, r.id desc limit 1) as latest_run,
    (select max(d.updated_at) from public.data_centres d where d.operator_id = %(operator_id)s) as centres,
    (select count(*) from public.data_centres d where d.operator_id = %(operator_id)s) as how_many;

-- name: placed_work
-- Where and when the work that has not ended runs, or is to run; a job placed by hand has a start and a duration only.
select w.id as workload_id, w.job_id, w.status::text as status, w.power_kw::float8 as power_kw, w.duration_mins,
       w.required_gpu_mins, w.required_cpu_cores, w.required_memory_gb,
       coalesce(p.data_centre_id, w.host_dc_id) as data_centre_id, p.decision_id,
       coalesce(d.agent_id is null and d.inputs ? 'by_hand', false) as is_by_hand,
       coalesce(p.starts_at, w.started_at, w.scheduled_start) as starts_at,
       coalesce(p.ends_at, coalesce(w.started_at, w.scheduled_start)
                           + make_interval(mins => w.duration_mins)) as ends_at
from public.compute_workloads w
left join public.workload_placements p on p.operator_id = w.operator_id and p.workload_id = w.id
left join public.orchestration_decisions d on d.operator_id = p.operator_id and d.id = p.decision_id
where w.operator_id = %(operator_id)s and w.status not in ('COMPLETED', 'FAILED', 'CANCELLED')
  and (p.workload_id is not null
       or (w.host_dc_id is not null and w.status <> 'PENDING'
           and coalesce(w.started_at, w.scheduled_start) is not null))
order by w.id, starts_at;

-- name: open_workloads
select * from public.compute_workloads
where operator_id = %(operator_id)s and status not in ('COMPLETED', 'FAILED', 'CANCELLED')
order by created_at, id;

-- name: schedules_ahead
select storage_asset_id, starts_at, power_mw::float8 as power_mw, decision_id
from public.storage_dispatches
where operator_id = %(operator_id)s and starts_at >= %(start)s
order by storage_asset_id, starts_at;

-- name: storage_beside_sites
-- What storage in use beside data centres is to do from a moment on, by data centre: MW, positive gives.
select a.co_located_dc_id as data_centre_id, s.starts_at, sum(s.power_mw)::float8 as power_mw
from public.storage_dispatches s
join public.storage_assets a on a.operator_id = s.operator_id and a.id = s.storage_asset_id
where s.operator_id = %(operator_id)s and s.starts_at >= %(start)s
  and a.co_located_dc_id is not null and a.status not in ('MAINTENANCE', 'OFFLINE')
group by a.co_located_dc_id, s.starts_at
order by a.co_located_dc_id, s.starts_at;

-- name: storage_schedules
-- Each asset, or the one called `asset_id`, with each half hour from `start` on in which it is to do something; one
-- row with nulls for an asset without any.
select a.id, a.asset_id, a.status::text as status, a.capacity_mwh::float8 as capacity_mwh,
       a.current_charge_mwh::float8 as charge_mwh, a.is_simulated, s.starts_at, s.power_mw::float8 as power_mw,
       d.decision_id, coalesce(d.inputs -> 'simulated', '[]') as simulated
from public.storage_assets a
left join public.storage_dispatches s
    on s.operator_id = a.operator_id and s.storage_asset_id = a.id and s.starts_at >= %(start)s
left join public.orchestration_decisions d on d.operator_id = s.operator_id and d.id = s.decision_id
where a.operator_id = %(operator_id)s and (%(asset_id)s::text is null or a.asset_id = %(asset_id)s)
order by a.asset_id, a.id, s.starts_at;

-- name: limits_ahead
select id, operator_id, data_centre_id, starts_at, ends_at, max_power_mw::float8 as max_power_mw, reason, decision_id,
       is_simulated, created_at
from public.load_limits
where operator_id = %(operator_id)s and starts_at < %(end)s
  and (ends_at is null or (ends_at > %(start)s and ends_at > starts_at))
order by starts_at, id;

-- name: keep_input
insert into public.plan_inputs (operator_id, digest, content, created_at)
values (%(operator_id)s, %(digest)s, %(content)s, %(now)s)
on conflict do nothing;

-- name: kept_input
select content from public.plan_inputs where operator_id = %(operator_id)s and digest = %(digest)s;

-- name: decision_as_written
-- A decision, by its id or its own id, as its hash was made of it.
select decision_id, seq, content, prev_hash, hash from public.orchestration_decisions
where operator_id = %(operator_id)s and (decision_id = %(name)s or id = %(id)s);

-- name: decision_names
-- The own ids of the last decisions, oldest first; null for all.
select decision_id from (
    select decision_id, seq from public.orchestration_decisions
    where operator_id = %(operator_id)s order by seq desc limit %(last)s
) one order by seq;

-- name: plan_names
-- The same of plans that came to a result.
select plan_id from (
    select plan_id, requested_at from public.plans
    where operator_id = %(operator_id)s and status = 'SUCCEEDED' order by requested_at desc, plan_id desc limit %(last)s
) one order by requested_at, plan_id;

-- name: plan_as_worked_out
-- A plan, by its id or its own id: what it saw and what it came to, as they are kept.
select p.plan_id, p.status::text as status, p.input_digest, p.result_digest, i.content as input, r.content as result
from public.plans p
left join public.plan_inputs i on i.operator_id = p.operator_id and i.digest = p.input_digest
left join public.plan_results r on r.operator_id = p.operator_id and r.plan_id = p.id
where p.operator_id = %(operator_id)s and (p.plan_id = %(name)s or p.id = %(id)s);

-- name: effects_between
-- What the decisions about workloads after one number and before another have done to the room: what each took up,
-- and what the booking took that stood before it.
select d.seq, d.effect, d.inputs -> 'standing' as standing
from public.orchestration_decisions d
where d.operator_id = %(operator_id)s and d.workload_id is not null
  and d.seq > %(after_seq)s and d.seq < %(seq)s
order by d.seq;

-- name: workloads_called
select * from public.compute_workloads where operator_id = %(operator_id)s and job_id = any(%(job_ids)s::text[]);

-- name: plans
-- Plans before number `before`, newest first; null filters mean all. With `whole`, what each came to.
select p.id, p.plan_id, p.status::text as status, p.trigger, p.requested_at, p.started_at, p.finished_at, p.as_of,
       p.starts_at, p.half_hours, p.run_id, p.after_seq, p.input_digest, p.input_bytes, p.progress, p.workloads, p.sites,
       p.cost_gbp::float8 as cost_gbp, p.bound_gbp::float8 as bound_gbp, p.gap::float8 as gap,
       p.gap_of_choice::float8 as gap_of_choice, p.spare_mwh::float8 as spare_mwh, p.result_digest, p.result_bytes,
       p.error, coalesce(p.simulated -> 'quantities', '[]') as simulated, p.is_simulated,
       substring(p.plan_id from '^P-([0-9]{1,18})$')::bigint as number,
       case when %(whole)s then r.content end as content
from public.plans p
left join public.plan_results r on %(whole)s and r.operator_id = p.operator_id and r.plan_id = p.id
where p.operator_id = %(operator_id)s
  and (%(before)s::bigint is null or substring(p.plan_id from '^P-([0-9]{1,18})$')::bigint < %(before)s)
  and (%(plan_id)s::text is null or p.plan_id = %(plan_id)s)
  and (%(id)s::uuid is null or p.id = %(id)s)
order by length(p.plan_id) desc, p.plan_id desc
limit %(limit)s;

-- name: open_plan
-- The plan that has not ended; an operator has one at most.
select * from public.plans where operator_id = %(operator_id)s and status in ('QUEUED', 'RUNNING');

-- name: last_plan_number
select coalesce((
    select substring(plan_id from 3)::bigint from public.plans
    where operator_id = %(operator_id)s and plan_id ~ '^P-[0-9]{1,18}$'
    order by length(plan_id) desc, plan_id desc limit 1), 0);

-- name: note_plan_progress
-- Not at a desk: whoever looks on shall see it while the operator is at work on something else.
update public.plans set progress = %(progress)s::jsonb, updated_at = %(now)s
where operator_id = %(operator_id)s and id = %(id)s and status = 'RUNNING';

-- name: arrived_since
-- Of the workloads that came after a plan had read the fleet: the energy of those that were placed, other than by a
-- plan, and how many were put off because there was no room.
select coalesce(sum((d.alternatives_considered -> 'chosen' ->> 'energy_kwh')::float8)
                filter (where d.inputs ->> 'standing' is null and not d.inputs ? 'by_plan'), 0) / 1000 as placed_mwh,
       count(*) filter (where d.decision_type = 'DEFER_WORKLOAD'
                        and d.constraints_evaluated ->> 'binding' in ('power_mw', 'gpus')) as without_room
from public.orchestration_decisions d
join public.compute_workloads w on w.operator_id = d.operator_id and w.id = d.workload_id
where d.operator_id = %(operator_id)s and d.seq > %(after_seq)s and w.created_at > %(as_of)s;

-- name: standing_plan_in_short
-- The same as `standing_plan` without what it came to; and whether nothing came of one that was asked for since.
select p.id, p.as_of, p.after_seq, p.spare_mwh::float8 as spare_mwh,
       exists (select 1 from public.plans l where l.operator_id = p.operator_id and l.requested_at > p.requested_at
               and l.status in ('FAILED', 'ABANDONED')) as tried_since
from public.plans p
where p.operator_id = %(operator_id)s and p.status = 'SUCCEEDED'
  and p.starts_at <= %(now)s and p.starts_at + p.half_hours * interval '30 minutes' > %(now)s
order by p.requested_at desc, length(p.plan_id) desc, p.plan_id desc limit 1;

-- name: standing_plan
-- The newest plan that was worked out and still covers this moment, with all it came to; without `whole` no places,
-- which are most of it.
select p.id, p.plan_id, p.status::text as status, p.as_of, p.starts_at, p.half_hours, p.run_id, p.after_seq,
       p.input_digest, p.finished_at, p.gap::float8 as gap, p.spare_mwh::float8 as spare_mwh, p.result_digest,
       case when %(whole)s then r.content else (
           select json_object_agg(key, value)::text from json_each(r.content::json)
           where key in ('now', 'gap', 'starts_at', 'prices')) end as content
from public.plans p
join public.plan_results r on r.operator_id = p.operator_id and r.plan_id = p.id
where p.operator_id = %(operator_id)s and p.status = 'SUCCEEDED'
  and p.starts_at <= %(now)s and p.starts_at + p.half_hours * interval '30 minutes' > %(now)s
order by p.requested_at desc, length(p.plan_id) desc, p.plan_id desc limit 1;

-- name: unplace
delete from public.workload_placements
where operator_id = %(operator_id)s and workload_id = any(%(workload_ids)s::uuid[]);

-- name: unschedule
-- What a storage asset was to do from a moment on and has not done.
delete from public.storage_dispatches
where operator_id = %(operator_id)s and storage_asset_id = %(asset_id)s
  and starts_at >= %(start)s and executed_at is null;

-- name: acting_agent
-- The agent of a type that acts for the operator.
select * from public.agents
where operator_id = %(operator_id)s and agent_type = %(agent_type)s::public.agent_type and status <> 'OFFLINE'
order by created_at, id limit 1;

-- name: agents_acted
-- The one writer of last_action_at.
update public.agents set last_action_at = %(now)s where operator_id = %(operator_id)s and id = any(%(agent_ids)s::uuid[]);

-- name: decisions
-- Decisions before number `before`, newest first; null filters mean all.
select d.id, d.decision_id, d.decision_type::text as decision_type, d.agent_id, a.agent_id as agent, d.workload_id,
       w.job_id, d.source_dc_id, s.dc_id as source, d.target_dc_id, t.dc_id as target, d.storage_asset_id,
       b.asset_id, d.input_grid_signal_id, d.input_run_id, d.input_carbon_intensity,
       d.input_grid_stress::float8 as input_grid_stress, d.input_price_gbp_mwh::float8 as input_price_gbp_mwh,
       d.reasoning, d.constraints_evaluated, d.alternatives_considered,
       d.carbon_saved_gco2::float8 as carbon_saved_gco2, d.cost_saved_gbp::float8 as cost_saved_gbp,
       d.flexibility_contribution_mw::float8 as flexibility_contribution_mw, d.inputs, d.effect, d.is_simulated,
       d.decided_at, d.seq, d.hash
from public.orchestration_decisions d
left join public.agents a on a.operator_id = d.operator_id and a.id = d.agent_id
left join public.compute_workloads w on w.operator_id = d.operator_id and w.id = d.workload_id
left join public.data_centres s on s.operator_id = d.operator_id and s.id = d.source_dc_id
left join public.data_centres t on t.operator_id = d.operator_id and t.id = d.target_dc_id
left join public.storage_assets b on b.operator_id = d.operator_id and b.id = d.storage_asset_id
where d.operator_id = %(operator_id)s
  and (%(before)s::bigint is null or d.seq < %(before)s)
  and (%(decision_type)s::text is null or d.decision_type::text = %(decision_type)s)
  and (%(job_id)s::text is null or w.job_id = %(job_id)s)
  and (%(agent)s::text is null or a.agent_id = %(agent)s)
  and (%(decision_id)s::text is null or d.decision_id = %(decision_id)s)
  and (%(id)s::uuid is null or d.id = %(id)s)
order by d.seq desc
limit %(limit)s;

-- name: outcome_of
select recorded_at, decided_energy_kwh::float8 as decided_energy_kwh,
       decided_carbon_gco2::float8 as decided_carbon_gco2, decided_cost_gbp::float8 as decided_cost_gbp,
       actual_energy_kwh::float8 as actual_energy_kwh, actual_carbon_gco2::float8 as actual_carbon_gco2,
       actual_cost_gbp::float8 as actual_cost_gbp, baseline_carbon_gco2::float8 as baseline_carbon_gco2,
       baseline_cost_gbp::float8 as baseline_cost_gbp, baseline_infeasible,
       carbon_saved_gco2::float8 as carbon_saved_gco2, cost_saved_gbp::float8 as cost_saved_gbp, detail
from public.decision_outcomes where operator_id = %(operator_id)s and decision_id = %(id)s;

-- name: performed_before
select action, request_digest, response from public.idempotency_keys
where operator_id = %(operator_id)s and key = %(key)s;

-- name: remember_performed
insert into public.idempotency_keys (operator_id, key, action, request_digest, response, created_at)
values (%(operator_id)s, %(key)s, %(action)s, %(request_digest)s, %(response)s::jsonb, %(now)s);

-- name: work_in_hand
-- Work that is booked or runs, and work that ran and is not settled: when it was to run, where, and the half hours of
-- it that are recorded. Work that somebody placed without a decision is settled when its carbon or cost is known.
-- `site_opened_at` is when a site that took no work was last opened, as the log has it.
with hand as materialized (
    select w.* from public.compute_workloads w
    where w.operator_id = %(operator_id)s
      and (w.status not in ('COMPLETED', 'FAILED', 'CANCELLED')
           or (w.started_at is not null and w.completed_at is not null
               and not exists (select from public.decision_outcomes o
                               where o.operator_id = w.operator_id and o.workload_id = w.id)
               and num_nonnulls(w.actual_carbon_gco2, w.actual_cost_gbp) = 0
               and not (w.completed_at < %(settled_by)s and w.actual_energy_kwh is not null)))
)
select w.id, w.job_id, w.status::text as status, w.is_simulated, w.power_kw::float8 as power_kw, w.duration_mins,
       w.scheduled_start, w.started_at, w.completed_at, w.origin_dc_id,
       w.actual_energy_kwh::float8 as reported_kwh, w.migration_cost_gbp::float8 as migration_gbp,
       d.id as data_centre_id, d.status::text as site_status, d.is_simulated as site_is_simulated,
       opened.decided_at as site_opened_at, p.starts, p.ends, coalesce(p.decision_id, last.id) as decision_id,
       metered.half_hours, metered.energies_kwh
from hand w
left join lateral (
    select array_agg(b.starts_at order by b.starts_at) as starts, array_agg(b.ends_at order by b.starts_at) as ends,
           (array_agg(b.data_centre_id))[1] as data_centre_id, (array_agg(b.decision_id))[1] as decision_id
    from public.workload_placements b where b.operator_id = w.operator_id and b.workload_id = w.id) p on true
join public.data_centres d on d.operator_id = w.operator_id and d.id = coalesce(p.data_centre_id, w.host_dc_id)
left join lateral (
    select x.id from public.orchestration_decisions x
    where x.operator_id = w.operator_id and x.workload_id = w.id and x.target_dc_id is not null
    order by x.seq desc limit 1) last on p.decision_id is null
left join lateral (
    select x.decided_at from public.orchestration_decisions x
    where w.started_at is null and coalesce(p.starts[1], w.scheduled_start) <= %(now)s
      and x.operator_id = w.operator_id and d.id in (x.source_dc_id, x.target_dc_id)
      and x.effect ->> 'action' = 'set_data_centre_status' and x.effect ->> 'from' in ('MAINTENANCE', 'OFFLINE')
      and x.effect ->> 'to' in ('ACTIVE', 'CONSTRAINED')
    order by x.seq desc limit 1) opened on true
left join lateral (
    select array_agg(g."timestamp" order by g."timestamp") as half_hours,
           array_agg(c.energy_kwh::float8 order by g."timestamp") as energies_kwh
    from public.workload_consumption c join public.grid_signals g on g.id = c.grid_signal_id
    where c.operator_id = w.operator_id and c.workload_id = w.id) metered on w.started_at is not null
where p.starts is not null or w.started_at is not null or w.scheduled_start is not null
order by w.id;

-- name: record_consumption
-- The one writer of workload_consumption. A half hour of which no national signal is stored waits for one; a row that
-- says the same already is left alone.
insert into public.workload_consumption as c (operator_id, workload_id, grid_signal_id, energy_kwh, recorded_at)
select %(operator_id)s, x.workload_id, g.id, x.energy_kwh, %(now)s
from jsonb_to_recordset(%(rows)s::jsonb) as x(workload_id uuid, half_hour timestamptz, energy_kwh numeric)
join public.grid_signals g on g."timestamp" = x.half_hour
on conflict (operator_id, workload_id, grid_signal_id) do update set energy_kwh = excluded.energy_kwh
where c.energy_kwh <> excluded.energy_kwh
returning energy_kwh::float8 as energy_kwh;

-- name: take_back_consumption
-- What was recorded while a workload was taken to run still, and its owner says had ended by then.
delete from public.workload_consumption c
using jsonb_to_recordset(%(rows)s::jsonb) as x(workload_id uuid, half_hour timestamptz), public.grid_signals g
where c.operator_id = %(operator_id)s and c.workload_id = x.workload_id and c.grid_signal_id = g.id
  and g."timestamp" = x.half_hour;

-- name: hold_operator
-- Locks the operator as `enter_operator` does, for what changes nothing that a kept view holds.
select from public.chain_heads where operator_id = %(operator_id)s for update;

-- name: refresh_load
-- The one writer of data_centres.current_load_percentage: base load, and the work that runs at this moment.
update public.data_centres d set current_load_percentage = present.load
from (
    select c.id, least(100, round(100 * (c.base_load_mw + coalesce(sum(w.power_kw) * c.pue / 1000, 0))
                                  / nullif(c.total_capacity_mw, 0), 2)) as load
    from public.data_centres c
    left join public.compute_workloads w
        on w.operator_id = c.operator_id and w.host_dc_id = c.id and w.status = 'RUNNING'
       and (not exists (select from public.workload_placements p
                        where p.operator_id = w.operator_id and p.workload_id = w.id and p.ends_at > %(now)s)
            or exists (select from public.workload_placements p
                       where p.operator_id = w.operator_id and p.workload_id = w.id
                         and p.starts_at <= %(now)s and p.ends_at > %(now)s))
    where c.operator_id = %(operator_id)s
    group by c.id
) present
where d.operator_id = %(operator_id)s and d.id = present.id and d.current_load_percentage is distinct from present.load;

-- name: dispatches_due
-- What simulated storage was to do in half hours that have ended and has not done, in order.
select s.storage_asset_id, s.starts_at, s.power_mw::float8 as power_mw, a.asset_id, a.status::text as status,
       a.capacity_mwh::float8 as capacity_mwh, a.max_charge_rate_mw::float8 as max_charge_mw,
       a.max_discharge_rate_mw::float8 as max_discharge_mw,
       a.efficiency_percentage::float8 / 100 as efficiency, a.wear_gbp_mwh::float8 as wear_gbp_mwh,
       a.current_charge_mwh::float8 as charge_mwh
from public.storage_dispatches s
join public.storage_assets a on a.operator_id = s.operator_id and a.id = s.storage_asset_id
where s.operator_id = %(operator_id)s and s.executed_at is null and s.starts_at + interval '30 minutes' <= %(now)s
  and a.is_simulated and a.current_charge_mwh is not null
order by s.storage_asset_id, s.starts_at;

-- name: record_dispatches
-- What was done in place of what was to be done: the decision keeps that.
update public.storage_dispatches s set power_mw = x.power_mw, stored_mwh = x.stored_mwh, executed_at = %(now)s
from jsonb_to_recordset(%(rows)s::jsonb)
    as x(storage_asset_id uuid, starts_at timestamptz, power_mw numeric, stored_mwh numeric)
where s.operator_id = %(operator_id)s and s.storage_asset_id = x.storage_asset_id and s.starts_at = x.starts_at
  and s.executed_at is null;

-- name: refresh_charge
-- The one writer of storage_assets.current_charge_*: what is stored after the last half hour carried out.
update public.storage_assets a
set current_charge_mwh = x.stored_mwh,
    current_charge_percentage = round(100 * x.stored_mwh / nullif(a.capacity_mwh, 0), 2)
from jsonb_to_recordset(%(rows)s::jsonb) as x(storage_asset_id uuid, stored_mwh numeric)
where a.operator_id = %(operator_id)s and a.id = x.storage_asset_id;

-- name: charge_at
-- What is stored, and the first half hour since the last report of it in which real storage was to do something.
select a.current_charge_mwh::float8 as mwh,
       (select min(s.starts_at) from public.storage_dispatches s
        where s.operator_id = a.operator_id and s.storage_asset_id = a.id and not a.is_simulated
          and s.power_mw <> 0 and s.starts_at + interval '30 minutes' <= %(now)s
          and not exists (select from public.storage_dispatches t
                          where t.operator_id = s.operator_id and t.storage_asset_id = s.storage_asset_id
                            and t.starts_at >= s.starts_at and t.stored_mwh is not null)) as unreported_since
from public.storage_assets a where a.operator_id = %(operator_id)s and a.id = %(asset_id)s;

-- name: charge_reported_until
select max(starts_at) + interval '30 minutes' as reported_until
from public.storage_dispatches
where operator_id = %(operator_id)s and storage_asset_id = %(asset_id)s and stored_mwh is not null;

-- name: report_charge
-- Writes what real storage holds behind the last of its half hours that had ended; what it did in them stays unknown.
update public.storage_dispatches s set stored_mwh = %(charge_mwh)s
where s.operator_id = %(operator_id)s and s.storage_asset_id = %(asset_id)s
  and s.starts_at = (select max(t.starts_at) from public.storage_dispatches t
                     where t.operator_id = s.operator_id and t.storage_asset_id = s.storage_asset_id
                       and t.starts_at + interval '30 minutes' <= %(at)s);

-- name: refresh_storage_status
-- What simulated storage that works is doing in this half hour. Asked twice: it may be taken out of use meanwhile.
update public.storage_assets a set status = present.status
from (
    select b.id, (case when s.power_mw > 0 then 'DISCHARGING' when s.power_mw < 0 then 'CHARGING' else 'IDLE' end)
                 ::public.storage_status as status
    from public.storage_assets b
    left join public.storage_dispatches s
        on s.operator_id = b.operator_id and s.storage_asset_id = b.id and s.starts_at = %(half_hour)s
    where b.operator_id = %(operator_id)s and b.is_simulated and b.status not in ('MAINTENANCE', 'OFFLINE')
) present
where a.operator_id = %(operator_id)s and a.id = present.id and a.status <> present.status
  and a.status not in ('MAINTENANCE', 'OFFLINE');

-- name: metered_sites
select id, region_id, tariff, pue::float8 as pue, is_simulated
from public.data_centres where operator_id = %(operator_id)s;

-- name: prices_as_they_were
-- What Pylon itself had forecast is no price that anybody paid.
select s."timestamp" as at, s.wholesale_price_gbp_mwh::float8 as price, s.provenance ->> 'price' as source
from public.grid_signals s
where s."timestamp" >= %(start)s and s."timestamp" < %(end)s and s.wholesale_price_gbp_mwh is not null
  and s.provenance ->> 'price' is distinct from 'pylon_forecast_v1';

-- name: carbon_as_it_was
-- The actual carbon intensity of each region where a source gives one, else the last forecast of a source.
select s."timestamp" as at, s.region_id, coalesce(s.carbon_intensity_actual, s.carbon_intensity_forecast) as carbon,
       s.data_source as source
from public.regional_grid_signals s
where s."timestamp" >= %(start)s and s."timestamp" < %(end)s and s.data_source is distinct from 'pylon_forecast_v1'
  and coalesce(s.carbon_intensity_actual, s.carbon_intensity_forecast) is not null;

-- name: decisions_named
select id, decided_at, alternatives_considered, constraints_evaluated, inputs, effect, is_simulated,
       carbon_saved_gco2::float8 as carbon_saved_gco2, cost_saved_gbp::float8 as cost_saved_gbp
from public.orchestration_decisions where operator_id = %(operator_id)s and id = any(%(ids)s::uuid[]);

-- name: dispatches_carried_out
-- Decisions about storage of which every half hour that is still theirs has been carried out, and that are not settled.
select s.decision_id, s.storage_asset_id, a.region_id, d.tariff, a.wear_gbp_mwh::float8 as wear_gbp_mwh,
       a.is_simulated, array_agg(s.starts_at order by s.starts_at) as half_hours,
       array_agg(s.power_mw::float8 order by s.starts_at) as power_mw
from public.storage_dispatches s
join public.storage_assets a on a.operator_id = s.operator_id and a.id = s.storage_asset_id
left join public.data_centres d on d.operator_id = a.operator_id and d.id = a.co_located_dc_id
where s.operator_id = %(operator_id)s
  and not exists (select from public.decision_outcomes o
                  where o.operator_id = s.operator_id and o.decision_id = s.decision_id)
group by s.decision_id, s.storage_asset_id, a.region_id, d.tariff, a.wear_gbp_mwh, a.is_simulated
having bool_and(s.executed_at is not null)
order by s.decision_id, s.storage_asset_id;

-- name: settle_workloads
update public.compute_workloads w
set actual_energy_kwh = x.actual_energy_kwh, actual_carbon_gco2 = x.actual_carbon_gco2,
    actual_cost_gbp = x.actual_cost_gbp
from jsonb_to_recordset(%(rows)s::jsonb)
    as x(id uuid, actual_energy_kwh numeric, actual_carbon_gco2 numeric, actual_cost_gbp numeric)
where w.operator_id = %(operator_id)s and w.id = x.id
  and row(w.actual_energy_kwh, w.actual_carbon_gco2, w.actual_cost_gbp)
      is distinct from row(x.actual_energy_kwh, x.actual_carbon_gco2, x.actual_cost_gbp)
returning w.id;

-- name: report_rows
-- What ended in [start, end), by London day, agent and kind: workloads by the day they ended on, storage by the half
-- hours that were carried out. `kind` keeps apart what is real, what is real but valued at simulated prices or
-- intensities, and what is simulated. Savings whose baseline would have broken a limit are summed up apart.
with work as (
    select (coalesce(w.completed_at, d.decided_at) at time zone 'Europe/London')::date as day, d.agent_id,
           w.status, w.started_at is not null as has_run, w.is_simulated,
           o.decision_id is not null or w.actual_carbon_gco2 is not null or w.actual_cost_gbp is not null as is_settled,
           coalesce(o.actual_energy_kwh, (
               select sum(c.energy_kwh) from public.workload_consumption c
               where c.operator_id = w.operator_id and c.workload_id = w.id)) as energy_kwh,
           coalesce(o.actual_carbon_gco2, w.actual_carbon_gco2) as carbon_g,
           coalesce(o.actual_cost_gbp, w.actual_cost_gbp) as cost_gbp, w.actual_cost_gbp as energy_gbp, o.carbon_saved_gco2, o.cost_saved_gbp,
           o.baseline_infeasible is not null as is_infeasible,
           coalesce(o.is_simulated, w.is_simulated or (w.started_at is not null and h.is_simulated), false) as of_simulated,
           coalesce(o.detail -> 'simulated', '[]') <> '[]' as at_simulated, w.required_gpu_mins
    from public.compute_workloads w
    left join public.decision_outcomes o on o.operator_id = w.operator_id and o.workload_id = w.id
    left join public.data_centres h on h.operator_id = w.operator_id and h.id = w.host_dc_id
    left join lateral (
        select x.agent_id, x.decided_at from public.orchestration_decisions x
        where x.operator_id = w.operator_id and x.workload_id = w.id
          and (o.decision_id is null or x.id = o.decision_id)
        order by x.seq desc limit 1) d on true
    where w.operator_id = %(operator_id)s and w.status in ('COMPLETED', 'FAILED', 'CANCELLED')
      and coalesce(w.completed_at, d.decided_at) >= %(start)s and coalesce(w.completed_at, d.decided_at) < %(end)s
), storage as (
    -- Energy drawn from the grid in each half hour that was carried out; negative when given.
    select (s.starts_at at time zone 'Europe/London')::date as day, x.agent_id, a.is_simulated, -500 * s.power_mw as kwh,
           a.wear_gbp_mwh, case when d.tariff is null then g.wholesale_price_gbp_mwh else t.price_gbp_mwh end as price,
           coalesce(r.carbon_intensity_actual, r.carbon_intensity_forecast) as carbon,
           s.power_mw <> 0 and ('simulated' in (r.data_source, case when d.tariff is null then g.provenance ->> 'price' end)
                                or (d.tariff is not null and t.is_simulated)) as at_simulated
    from public.storage_dispatches s
    join public.storage_assets a on a.operator_id = s.operator_id and a.id = s.storage_asset_id
    join public.orchestration_decisions x on x.operator_id = s.operator_id and x.id = s.decision_id
    left join public.data_centres d on d.operator_id = a.operator_id and d.id = a.co_located_dc_id
    left join public.grid_signals g on g."timestamp" = s.starts_at
        and g.provenance ->> 'price' is distinct from 'pylon_forecast_v1'
    left join public.regional_grid_signals r on r.region_id = a.region_id and r."timestamp" = s.starts_at
        and r.data_source is distinct from 'pylon_forecast_v1'
    left join lateral (
        select p.price_gbp_mwh, p.is_simulated from public.tariff_rates p
        where p.operator_id = d.operator_id and p.tariff = d.tariff and p.starts_at <= s.starts_at
        order by p.starts_at desc limit 1) t on true
    where s.operator_id = %(operator_id)s and s.executed_at is not null
      and s.starts_at >= %(start)s and s.starts_at < %(end)s
), counted as (
    select day, agent_id,
           case when of_simulated then 'simulated' when at_simulated then 'partly_simulated' else 'real' end as kind,
           count(*) filter (where status = 'COMPLETED') as completed,
           count(*) filter (where status = 'FAILED' and has_run) as failed,
           count(*) filter (where status = 'FAILED' and not has_run) as rejected,
           count(*) filter (where status = 'CANCELLED') as cancelled,
           count(*) filter (where has_run and not is_settled) as unsettled, count(*) filter (where is_settled) as settled,
           count(*) filter (where is_settled and carbon_g is null) as carbon_unknown,
           count(*) filter (where is_settled and cost_gbp is null) as cost_unknown,
           coalesce(sum(energy_kwh) filter (where is_settled), 0) as energy_kwh,
           coalesce(sum(carbon_g), 0) as carbon_g, coalesce(sum(cost_gbp), 0) as cost_gbp,
           count(*) filter (where not is_infeasible and num_nonnulls(carbon_saved_gco2, cost_saved_gbp) > 0) as compared,
           coalesce(sum(carbon_saved_gco2) filter (where not is_infeasible), 0) as carbon_saved_g,
           coalesce(sum(cost_saved_gbp) filter (where not is_infeasible), 0) as cost_saved_gbp,
           coalesce(sum(carbon_saved_gco2) filter (where not is_infeasible and carbon_saved_gco2 < 0), 0) as carbon_lost_g,
           coalesce(sum(cost_saved_gbp) filter (where not is_infeasible and cost_saved_gbp < 0), 0) as cost_lost_gbp,
           count(*) filter (where is_infeasible) as infeasible,
           coalesce(sum(carbon_saved_gco2) filter (where is_infeasible), 0) as infeasible_carbon_saved_g,
           coalesce(sum(cost_saved_gbp) filter (where is_infeasible), 0) as infeasible_cost_saved_gbp,
           coalesce(sum(energy_gbp) filter (where status = 'COMPLETED' and required_gpu_mins > 0), 0) as gpu_cost_gbp,
           coalesce(sum(required_gpu_mins) filter (where status = 'COMPLETED' and cost_gbp is not null), 0) as gpu_mins,
           0 as storage_half_hours, 0 as storage_unvalued, 0 as charged_kwh, 0 as discharged_kwh,
           0 as storage_earned_gbp, 0 as storage_carbon_saved_g
    from work group by 1, 2, 3
    union all
    select day, agent_id,
           case when is_simulated then 'simulated' when at_simulated then 'partly_simulated' else 'real' end,
           0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
           count(*), count(*) filter (where kwh <> 0 and num_nulls(price, carbon) > 0),
           sum(greatest(kwh, 0)), sum(greatest(-kwh, 0)),
           coalesce(sum((-kwh * price - greatest(-kwh, 0) * wear_gbp_mwh) / 1000), 0),
           coalesce(sum(-kwh * carbon), 0)
    from storage group by 1, 2, 3
)
select c.*, a.agent_id as agent, a.agent_type::text as agent_type
from counted c left join public.agents a on a.operator_id = %(operator_id)s and a.id = c.agent_id
order by c.day, a.agent_id nulls last, c.kind;
