-- One row per image, concept and prompt that the same encoder embedded: the image-by-concept matrix.
-- It is computed when asked, so filter by image or by concept.
--   image: path of the image, relative to the probe
--   cosine: cosine similarity of the image's and the concept's embeddings, from -1 to 1
--   prompt: text that the concept was put into before it was embedded
select
    probes.name as probe,
    images.path as image,
    concepts.concept,
    list_inner_product(image_embeddings.embedding, concept_embeddings.embedding) as cosine,
    encoders.name as encoder,
    array_to_string(concept_embeddings.prompts, ' | ') as prompt,
    image_embeddings.image_id
from store.image_embeddings
inner join store.concept_embeddings using (encoder_id)
inner join store.encoders using (encoder_id)
inner join store.images using (image_id)
inner join store.probes using (probe_id)
inner join store.concepts on concept_embeddings.concept_id = concepts.concept_id
