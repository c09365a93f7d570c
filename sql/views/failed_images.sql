-- One row per image that could not be read, with the reason.
--   image: path of the file, relative to the probe
--   part: the probe that the image came from, where several were put together; else null
select
    probes.name as probe,
    images.path as image,
    failed_images.reason,
    images.part
from store.failed_images
inner join store.images using (image_id)
inner join store.probes using (probe_id)
