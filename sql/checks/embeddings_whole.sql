-- Every chunk loaded for an encoder holds one embedding for each readable image, and none stands besides.
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
        chunks.encoder_id,
        planned.image_id
    from store.chunks
    inner join planned using (probe_id, chunk)
    where
        chunks.encoder_id is not null
        and planned.image_id not in (select failed_images.image_id from store.failed_images)
),

found as (
    select
        encoder_id,
        image_id,
        count(*) as embeddings
    from store.image_embeddings
    group by encoder_id, image_id
)

select
    encoder_id,
    image_id,
    expected.encoder_id is not null as is_expected,
    coalesce(found.embeddings, 0) as embeddings
from expected
full join found using (encoder_id, image_id)
where expected.encoder_id is null or found.embeddings is distinct from 1
