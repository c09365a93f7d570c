-- Two layers over one probe: which unit of the one fires as which unit of the other.

create table store.comparisons (
    comparison_id integer primary key,
    run_id integer not null,
    layer_a_id integer not null,
    layer_b_id integer not null,
    probe_id integer not null,
    -- images of the probe that both have seen
    images integer not null,
    -- a unit of one layer and the unit of the other with its number are one unit at two times: before and after
    -- training went on
    is_by_number boolean not null,
    unique (layer_a_id, layer_b_id, probe_id)
);

-- Of each unit of both layers that is live, the unit of the other layer whose activations correlate with its own most.
create table store.closest_units (
    comparison_id integer not null,
    -- whose unit this is
    side varchar not null check (side in ('a', 'b')),
    unit integer not null,
    -- null where the other layer has no live unit
    closest_unit integer,
    correlation float,
    -- with the unit of its own number; null where that one is not live or there is none
    own_correlation float,
    -- where units of one number are one unit, the unit that it is in the pairing of both layers' live units, each with
    -- one other at most, whose correlations sum up to most; null where none is left for it
    paired_unit integer,
    paired_correlation float
);
