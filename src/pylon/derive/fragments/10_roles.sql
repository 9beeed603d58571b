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
