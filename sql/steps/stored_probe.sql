-- A probe's number, its first and its last image, and how many go into a chunk.
select
    probes.probe_id,
    min(images.image_id) as first_image_id,
    max(images.image_id) as last_image_id,
    probes.chunk_images
from store.probes
inner join store.images using (probe_id)
where probes.probe_id = $probe_id
group by probes.probe_id, probes.chunk_images
