-- The activations of a chunk's images, reused and just made, in the order in which a chunk is stored.
insert into store.activations
with gathered as (
    select
        activations.unit,
        reused_images.image_id,
        activations.activation
    from store.activations
    inner join reused_images on activations.image_id = reused_images.source_id
    where
        activations.layer_id = $layer_id
        and activations.image_id between $first_source_id and $last_source_id
    union all by name
    select
        unit,
        image_id,
        activation
    from made_activations
)

select
    $layer_id,
    unit,
    image_id,
    activation
from gathered
order by unit, image_id
