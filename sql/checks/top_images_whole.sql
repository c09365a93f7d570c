-- Every unit with a state has its top images, ranked from 1 without gaps, none twice, best first.
with ranked as (
    select
        layer_id,
        probe_id,
        unit,
        rank,
        activation,
        lag(activation) over (
            partition by layer_id, probe_id, unit
            order by rank
        ) as activation_before
    from store.top_images
),

found as (
    select
        ranked.layer_id,
        ranked.probe_id,
        ranked.unit,
        count(*) as images,
        max(ranked.rank) as last_rank,
        max(ranked.activation) as maximum,
        bool_and(coalesce(ranked.activation <= ranked.activation_before, true)) as is_sorted
    from ranked
    group by ranked.layer_id, ranked.probe_id, ranked.unit
),

distinct_images as (
    select
        layer_id,
        probe_id,
        unit,
        count(distinct image_id) as images
    from store.top_images
    group by layer_id, probe_id, unit
),

readable as (
    select
        layer_id,
        probe_id,
        sum(images) as images
    from store.chunks
    where layer_id is not null
    group by layer_id, probe_id
),

wanted as (
    select
        units.layer_id,
        units.probe_id,
        units.unit,
        units.maximum,
        least(20, readable.images - units.not_finite) as images
    from store.units
    inner join readable using (layer_id, probe_id)
)

select
    layer_id,
    probe_id,
    unit,
    wanted.images as images_expected,
    coalesce(found.images, 0) as images_found
from wanted
full join found using (layer_id, probe_id, unit)
left join distinct_images using (layer_id, probe_id, unit)
where
    wanted.images is null
    or coalesce(found.images, 0) <> wanted.images
    or distinct_images.images <> found.images
    or found.last_rank <> found.images
    or not found.is_sorted
    or found.maximum is distinct from wanted.maximum
