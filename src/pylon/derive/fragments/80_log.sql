-- The log of decisions: one chain an operator. A row's `content` is the canonical JSON of all its other columns, made by
-- the application; its hash is the SHA-256, in hexadecimal, of the hash before it, its number and its content, with a
-- line feed between each. Before the first row stand 64 zeros. docs/decisions/0021.

-- Appends decisions, in this order, and returns where each stands. The head is locked and written once, however many.
create or replace function public.append_decisions(p_operator_id uuid, p_contents text[], p_now timestamptz)
returns table (seq bigint, prev_hash text, hash text)
language plpgsql set search_path = '' as $$
declare
    head    public.chain_heads;
    content text;
    last    text;
    hashes  text[] := '{}';
begin
    insert into public.chain_heads (operator_id, seq, hash, revision, updated_at)
    values (p_operator_id, 0, repeat('0', 64), 0, p_now)
    on conflict (operator_id) do nothing;
    select h.* into strict head from public.chain_heads h where h.operator_id = p_operator_id for update;

    last := head.hash;
    foreach content in array p_contents loop
        last := encode(sha256(convert_to(
            last || E'\n' || head.seq + cardinality(hashes) + 1 || E'\n' || content, 'UTF8')), 'hex');
        hashes := hashes || last;
    end loop;

    return query
    with linked as (
        select x.content, head.seq + x.place as seq, x.hash,
               lag(x.hash, 1, head.hash) over (order by x.place) as prev_hash
        from unnest(p_contents, hashes) with ordinality as x(content, hash, place)
    ), written as (
        -- The columns come from the content, so that they cannot say anything else.
        insert into public.orchestration_decisions
        select d.* from linked l cross join lateral jsonb_populate_record(
            jsonb_populate_record(null::public.orchestration_decisions, l.content::jsonb),
            jsonb_build_object('seq', l.seq, 'content', l.content, 'prev_hash', l.prev_hash, 'hash', l.hash)) d
        order by l.seq
    )
    select l.seq, l.prev_hash, l.hash from linked l order by l.seq;

    update public.chain_heads h
    set seq = head.seq + cardinality(hashes), hash = last, updated_at = p_now
    where h.operator_id = p_operator_id and cardinality(hashes) > 0;
end
$$;

-- Follows the chain over the rows after number p_after up to p_upto, of which the first must name p_hash as the hash
-- before it, and stops at the first fault. `checked` counts the rows that are in order; the last of them is `last_seq`.
-- In order is a row whose input, where it names one, is kept and has the hash that it is named by.
create or replace function public.check_decisions(p_operator_id uuid, p_after bigint, p_upto bigint, p_hash text)
returns table (checked bigint, last_seq bigint, last_hash text, fault_seq bigint, fault text)
language plpgsql stable set search_path = '' as $$
declare
    d      public.orchestration_decisions;
    said   public.orchestration_decisions;
    unkept record;
begin
    checked := 0;
    last_seq := p_after;
    last_hash := p_hash;
    for d in
        select o.* from public.orchestration_decisions o
        where o.operator_id = p_operator_id and o.seq > p_after and o.seq <= p_upto
        order by o.seq
    loop
        fault := case
            when d.seq > last_seq + 1 then 'missing'
            when d.seq < last_seq + 1 then 'number_taken'
            when d.prev_hash <> last_hash then 'not_linked'
            when d.hash <> encode(sha256(convert_to(
                d.prev_hash || E'\n' || d.seq || E'\n' || d.content, 'UTF8')), 'hex') then 'hash_differs'
        end;
        if fault is null then
            begin
                said := jsonb_populate_record(null::public.orchestration_decisions, d.content::jsonb);
                said.seq := d.seq;
                said.content := d.content;
                said.prev_hash := d.prev_hash;
                said.hash := d.hash;
                if not d *= said then  -- byte for byte: 1.0 in the place of 1 is a difference too
                    fault := 'columns_differ';
                end if;
            exception when data_exception or program_limit_exceeded then  -- the latter: nested too deep, or too long
                fault := 'content_unreadable';
            end;
        end if;
        if fault is not null then
            fault_seq := least(d.seq, last_seq + 1);
            exit;
        end if;
        checked := checked + 1;
        last_seq := d.seq;
        last_hash := d.hash;
    end loop;

    -- Of the rows in order so far, the first whose input is not kept as it was. Each input is hashed once, however many
    -- rows name it.
    with named as (
        select o.inputs ->> 'view' as digest, min(o.seq) as seq
        from public.orchestration_decisions o
        where o.operator_id = p_operator_id and o.seq > p_after and o.seq <= last_seq and o.inputs ->> 'view' is not null
        group by o.inputs ->> 'view'
    )
    select n.seq, case when p.digest is null then 'input_missing' else 'input_differs' end as fault
    into unkept
    from named n
    left join public.plan_inputs p on p.operator_id = p_operator_id and p.digest = n.digest
    where p.digest is null or p.digest <> encode(sha256(convert_to(p.content, 'UTF8')), 'hex')
    order by n.seq limit 1;
    if found then
        fault := unkept.fault;
        fault_seq := unkept.seq;
        last_seq := unkept.seq - 1;
        checked := last_seq - p_after;
        select o.prev_hash into strict last_hash from public.orchestration_decisions o
        where o.operator_id = p_operator_id and o.seq = fault_seq;
    end if;
    return next;
end
$$;

revoke all on function public.append_decisions(uuid, text[], timestamptz) from public, anon, authenticated, service_role;
grant execute on function public.append_decisions(uuid, text[], timestamptz) to pylon_actor;
revoke all on function public.check_decisions(uuid, bigint, bigint, text) from public, anon;
grant execute on function public.check_decisions(uuid, bigint, bigint, text) to authenticated, service_role, pylon_actor;
