-- Every top image's activation is the one that is stored for that unit and image.
select
    top_images.layer_id,
    top_images.unit,
    top_images.rank,
    top_images.image_id,
    top_images.activation,
    activations.activation as activation_stored
from store.top_images
left join store.activations using (layer_id, unit, image_id)
where activations.activation is distinct from top_images.activation
