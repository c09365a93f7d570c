-- How many images of a probe the encoder gives no direction.
select count(*) as images
from store.image_embeddings
where
    encoder_id = $encoder_id
    and image_id between $first_image_id and $last_image_id
    and list_max(embedding) = 0
    and list_min(embedding) = 0
