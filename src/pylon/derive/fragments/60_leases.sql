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
