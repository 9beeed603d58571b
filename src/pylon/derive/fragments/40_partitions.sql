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
