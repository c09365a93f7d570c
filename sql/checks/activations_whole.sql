-- Every loaded chunk holds one activation for each readable image and unit: none missing, none twice, none besides.
-- Units are told apart by the sum of their hashes, for counting distinct ones takes many times as long.
with planned as (
    select
        images.probe_id,
        images.image_id,
        (images.image_id - min(images.image_id) over (partition by images.probe_id)) // probes.chunk_images as chunk
    from store.images
    inner join store.probes using (probe_id)
),

expected as (
    select distinct
        chunks.layer_id,
        planned.image_id
    from store.chunks
    inner join planned using (probe_id, chunk)
    where
        chunks.layer_id is not null
        and planned.image_id not in (select failed_images.image_id from store.failed_images)
),

unit_hashes as (
    select
        layer_id,
        units,
        list_sum(list_transform(range(units), lambda unit: hash(unit::integer)::hugeint)) as units_hash
    from store.layers
),

found as (
    select
        layer_id,
        image_id,
        count(*) as units,
        sum(hash(unit)) as units_hash
    from store.activations
    group by layer_id, image_id
)

select
    layer_id,
    image_id,
    expected.layer_id is not null as is_expected,
    unit_hashes.units,
    coalesce(found.units, 0) as activations
from expected
full join found using (layer_id, image_id)
left join unit_hashes using (layer_id)
where
    expected.layer_id is null
    or found.units is distinct from unit_hashes.units
    or found.units_hash is distinct from unit_hashes.units_hash
