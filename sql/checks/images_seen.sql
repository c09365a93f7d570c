-- Every image of a loaded chunk has a small picture or the reason why it could not be read, and one of the two alone.
-- Imported activations of images that are known by their number only have neither.
with planned as (
    select
        images.probe_id,
        images.image_id,
        images.sha256 is null as is_unknown,
        (images.image_id - min(images.image_id) over (partition by images.probe_id)) // probes.chunk_images as chunk
    from store.images
    inner join store.probes using (probe_id)
),

pictures as (
    select
        image_id,
        count(*) as pictures
    from store.thumbnails
    group by image_id
)

select
    planned.probe_id,
    planned.image_id,
    coalesce(pictures.pictures, 0) as pictures,
    failed_images.reason
from planned
left join pictures using (image_id)
left join store.failed_images using (image_id)
where
    (planned.probe_id, planned.chunk) in (select (chunks.probe_id, chunks.chunk) from store.chunks)
    and coalesce(pictures.pictures, 0) + (failed_images.image_id is not null)::integer
    <> (not planned.is_unknown)::integer
