-- The embeddings of images that are reused.
insert into store.image_embeddings
select
    image_embeddings.encoder_id,
    reused_images.image_id,
    image_embeddings.embedding
from store.image_embeddings
inner join reused_images on image_embeddings.image_id = reused_images.source_id
where
    image_embeddings.encoder_id = $encoder_id
    and image_embeddings.image_id between $first_source_id and $last_source_id
order by reused_images.image_id
