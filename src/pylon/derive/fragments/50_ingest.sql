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
