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
