-- The correlation of the first live unit of each compared layer with its closest unit is that of their activations.
with firsts as (
    select
        comparisons.comparison_id,
        comparisons.probe_id,
        comparisons.images,
        closest_units.side,
        closest_units.unit,
        closest_units.closest_unit,
        closest_units.correlation,
        case when closest_units.side = 'a' then comparisons.layer_a_id else comparisons.layer_b_id end as layer_id,
        case when closest_units.side = 'a' then comparisons.layer_b_id else comparisons.layer_a_id end as other_id
    from store.closest_units
    inner join store.comparisons using (comparison_id)
    where closest_units.closest_unit is not null
    qualify
        row_number() over (
            partition by closest_units.comparison_id, closest_units.side
            order by closest_units.unit
        ) = 1
),

measured as (
    select
        firsts.comparison_id,
        firsts.side,
        corr(mine.activation, theirs.activation) as correlation,
        count(*) as images
    from firsts
    inner join store.activations as mine on firsts.layer_id = mine.layer_id and firsts.unit = mine.unit
    inner join store.activations as theirs
        on
            firsts.other_id = theirs.layer_id
            and firsts.closest_unit = theirs.unit
            and mine.image_id = theirs.image_id
    inner join store.images on mine.image_id = images.image_id and firsts.probe_id = images.probe_id
    group by firsts.comparison_id, firsts.side
)

select
    firsts.comparison_id,
    firsts.side,
    firsts.unit,
    firsts.closest_unit,
    firsts.correlation,
    measured.correlation as correlation_measured,
    firsts.images,
    measured.images as images_measured
from firsts
left join measured using (comparison_id, side)
where
    measured.images is distinct from firsts.images
    or abs(firsts.correlation - measured.correlation) > 1e-4
