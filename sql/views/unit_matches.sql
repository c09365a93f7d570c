-- One row per unit of a layer that `cli compare` compared with another: the unit of the other layer that it is now.
-- Where numbers are kept that is the unit of its own number, unless it moved; else the unit whose activations correlate
-- with its own most. Correlations are Pearson's, of two units' activations over the images that both layers have seen.
--   comparison: number of the comparison
--   layer: that of model_a
--   position: place of the layer in model_a, in the order of named_modules()
--   probe: whose images they were compared over
--   images: how many
--   is_by_number: whether numbers are kept, as by two checkpoints of one network: both layers have as many units, and
--     for more than half of the units that are live in both, the unit of their own number is among the closest tenth of
--     the other layer's live units, or the closest where there are fewer than ten
--   unit: of layer
--   unit_b: of layer_b, the one that it is compared with; null where none is live
--   activation_correlation: of these two; null where one is not live
--   fate: kept; moved, what it did another unit does; died, it was live and the one of its own number is not;
--     appeared, the other way round; dead, neither is live. Where numbers are not kept: kept, the closest correlates
--     with at least 0.5; unmatched, it does not, or none is live; dead, the unit is not live. A unit moved where, in
--     the pairing of all live units, each with one other at most, whose correlations sum up to most, it goes with a
--     unit of another number, and their correlation r leaves much less unexplained: 1 - r² is at most half of 1 minus
--     the higher square of their correlations with the units of their own numbers, so that r is above 0.7
--   own_correlation: with the unit of its own number; null where one is not live
--   closest_unit: of layer_b, of all the one that correlates with it most; null where one is not live
--   closest_correlation: with that one
--   is_mutual: whether it is the closest of its closest unit too
--   status_a: of unit: live, dead or not finite
--   status_b: of unit_b, in the same way
with thresholds as (
    select
        0.5 as least_correlation,
        0.5 as most_unexplained
),

pairs as (
    select
        comparisons.*,
        layers_a.units,
        layers_a.position,
        layers_a.name as layer,
        layers_b.name as layer_b,
        models_a.name as model_a,
        models_b.name as model_b,
        probes.name as probe
    from store.comparisons
    inner join store.layers as layers_a on comparisons.layer_a_id = layers_a.layer_id
    inner join store.layers as layers_b on comparisons.layer_b_id = layers_b.layer_id
    inner join store.models as models_a on layers_a.model_id = models_a.model_id
    inner join store.models as models_b on layers_b.model_id = models_b.model_id
    inner join store.probes using (probe_id)
),

every_unit as (
    select
        *,
        unnest(range(units))::integer as unit
    from pairs
),

matches as (
    select
        every_unit.*,
        units_a.status as status_a,
        own_units.status as own_status,
        closest.own_correlation,
        closest.closest_unit,
        closest.correlation as closest_correlation,
        coalesce(back.closest_unit = every_unit.unit, false) as is_mutual,
        closest.correlation >= thresholds.least_correlation as is_close,
        closest.paired_unit,
        closest.paired_correlation,
        closest.paired_unit <> every_unit.unit
        and closest.paired_correlation > 0
        -- a unit that is not live explains nothing
        and 1 - power(closest.paired_correlation, 2)
        <= thresholds.most_unexplained
        * (1 - power(greatest(closest.own_correlation, paired_back.own_correlation, 0), 2))
            as has_moved
    from every_unit
    cross join thresholds
    left join store.units as units_a
        on
            every_unit.layer_a_id = units_a.layer_id
            and every_unit.probe_id = units_a.probe_id
            and every_unit.unit = units_a.unit
    left join store.units as own_units
        on
            every_unit.layer_b_id = own_units.layer_id
            and every_unit.probe_id = own_units.probe_id
            and every_unit.unit = own_units.unit
    left join store.closest_units as closest
        on
            every_unit.comparison_id = closest.comparison_id
            and closest.side = 'a'
            and every_unit.unit = closest.unit
    left join store.closest_units as back
        on
            every_unit.comparison_id = back.comparison_id
            and back.side = 'b'
            and closest.closest_unit = back.unit
    left join store.closest_units as paired_back
        on
            every_unit.comparison_id = paired_back.comparison_id
            and paired_back.side = 'b'
            and closest.paired_unit = paired_back.unit
),

fates as (
    select
        *,
        case
            when not is_by_number and status_a <> 'live' then 'dead'
            when not is_by_number and is_close then 'kept'
            when not is_by_number then 'unmatched'
            when status_a <> 'live' and own_status <> 'live' then 'dead'
            when status_a <> 'live' then 'appeared'
            when has_moved then 'moved'
            when own_status <> 'live' then 'died'
            else 'kept'
        end as fate
    from matches
)

select
    comparison_id as comparison,
    model_a,
    model_b,
    layer,
    layer_b,
    position,
    probe,
    images,
    is_by_number,
    unit,
    case
        when fate = 'moved' then paired_unit
        when is_by_number then unit
        else closest_unit
    end as unit_b,
    case
        when fate = 'moved' then paired_correlation
        when is_by_number then own_correlation
        else closest_correlation
    end as activation_correlation,
    fate,
    own_correlation,
    closest_unit,
    closest_correlation,
    is_mutual,
    status_a,
    case
        when fate = 'moved' then 'live'
        when is_by_number then own_status
        -- what is closest is live
        when closest_unit is not null then 'live'
    end as status_b
from fates
