-- Every loaded chunk lies within its probe, stands once, and counts its readable images right.
with planned as (
    select
        images.probe_id,
        (images.image_id - min(images.image_id) over (partition by images.probe_id)) // probes.chunk_images as chunk,
        failed_images.image_id is null as is_readable
    from store.images
    inner join store.probes using (probe_id)
    left join store.failed_images using (image_id)
),

readable as (
    select
        probe_id,
        chunk,
        count(*) filter (is_readable) as images
    from planned
    group by probe_id, chunk
),

loaded as (
    select
        probe_id,
        chunk,
        layer_id,
        encoder_id,
        min(images) as fewest_images,
        max(images) as most_images,
        count(*) as times
    from store.chunks
    group by probe_id, chunk, layer_id, encoder_id
)

select
    loaded.*,
    readable.images as readable_images
from loaded
left join readable using (probe_id, chunk)
where
    loaded.times > 1
    or loaded.fewest_images is distinct from readable.images
    or loaded.most_images is distinct from readable.images
