-- Each unit's top images of those that a chunk reuses, for a layer without a map: nothing else is to be known of them.
insert into store.top_candidates
select
    $layer_id,
    $probe_id,
    activations.unit,
    reused_images.image_id,
    activations.activation,
    null as peak_x,
    null as peak_y
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
