-- Forecasts: where Pylon forecasts the carbon of a region itself, the quantile that caps are held against has a column.

alter table public.regional_grid_signals add column carbon_intensity_upper integer
    constraint regional_grid_signals_carbon_intensity_upper_range check (carbon_intensity_upper >= 0);
comment on column public.regional_grid_signals.carbon_intensity_upper is 'What caps are held against: 90 % quantile of Pylon''s own forecast; null on others [gCO2/kWh]';

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
