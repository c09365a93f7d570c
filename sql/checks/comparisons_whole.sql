-- Every comparison has one row for each live unit of both layers and for no other. Its closest unit is a live one of
-- the other layer, where there is any, and no unit is closer than the closest. Two units of one number correlate the
-- same told from either side, where both are live, and a correlation is from -1 to 1. Where numbers are kept units are
-- paired, the same told from either side.
with sides as (
    select
        comparison_id,
        probe_id,
        'a' as side,
        layer_a_id as layer_id,
        layer_b_id as other_id,
        is_by_number
    from store.comparisons
    union all
    select
        comparison_id,
        probe_id,
        'b' as side,
        layer_b_id as layer_id,
        layer_a_id as other_id,
        is_by_number
    from store.comparisons
),

live as (
    select
        layer_id,
        probe_id,
        unit
    from store.units
    where status = 'live'
),

has_live as (
    select distinct
        layer_id,
        probe_id
    from live
),

expected as (
    select
        sides.comparison_id,
        sides.side,
        live.unit,
        has_live.layer_id is not null as has_others,
        own_units.unit is not null as has_own
    from sides
    inner join live using (layer_id, probe_id)
    left join has_live on sides.other_id = has_live.layer_id and sides.probe_id = has_live.probe_id
    left join live as own_units
        on
            sides.other_id = own_units.layer_id
            and sides.probe_id = own_units.probe_id
            and live.unit = own_units.unit
),

found as (
    select
        closest_units.*,
        others.unit is not null as closest_is_live,
        own_rows.own_correlation as own_told_from_other,
        sides.is_by_number,
        paired.paired_unit as paired_told_from_other,
        paired.paired_correlation as paired_correlation_told_from_other,
        count(*) over (partition by closest_units.comparison_id, closest_units.side, closest_units.unit) as rows_of_unit
    from store.closest_units
    left join sides using (comparison_id, side)
    left join live as others
        on
            sides.other_id = others.layer_id
            and sides.probe_id = others.probe_id
            and closest_units.closest_unit = others.unit
    left join store.closest_units as own_rows
        on
            closest_units.comparison_id = own_rows.comparison_id
            and closest_units.side <> own_rows.side
            and closest_units.unit = own_rows.unit
    left join store.closest_units as paired
        on
            closest_units.comparison_id = paired.comparison_id
            and closest_units.side <> paired.side
            and closest_units.paired_unit = paired.unit
)

select
    comparison_id,
    side,
    unit,
    found.closest_unit,
    found.correlation,
    found.own_correlation,
    found.paired_unit
from expected
full join found using (comparison_id, side, unit)
where
    expected.has_others is null
    or found.rows_of_unit is distinct from 1
    or found.closest_is_live <> expected.has_others
    or (found.correlation is not null) <> expected.has_others
    or (found.own_correlation is not null) <> expected.has_own
    or found.correlation not between -1 and 1
    or found.own_correlation not between -1 and found.correlation + 1e-5
    or abs(found.own_correlation - found.own_told_from_other) > 1e-5
    or (found.paired_unit is not null) <> (found.paired_correlation is not null)
    or found.paired_unit is not null and not found.is_by_number
    or found.paired_unit is not null and found.paired_told_from_other is distinct from found.unit
    or found.paired_correlation not between -1 and found.correlation + 1e-5
    or abs(found.paired_correlation - found.paired_correlation_told_from_other) > 1e-5
