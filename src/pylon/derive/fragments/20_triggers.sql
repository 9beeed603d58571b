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
