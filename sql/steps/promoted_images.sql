-- Of the images to reuse those that are among a unit's top images of them and were not in their own probe, so that
-- nobody knows where on them the unit fires.
with ranked as (
    select
        activations.unit,
        reused_images.image_id,
        reused_images.source_id
    from store.activations
    inner join reused_images on activations.image_id = reused_images.source_id
    where
        activations.layer_id = $layer_id
        and activations.image_id between $first_source_id and $last_source_id
        and activations.activation is not null
    qualify row_number() over (
        partition by activations.unit
        order by activations.activation desc, reused_images.image_id asc
    ) <= $top_images
),

known as (
    select
        unit,
        image_id as source_id
    from store.top_images
    where layer_id = $layer_id
)

select distinct ranked.image_id
from ranked
anti join known using (unit, source_id)
order by ranked.image_id
