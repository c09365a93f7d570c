-- One row per image that could not be read, with the reason.
--   image: path of the file, relative to the probe
select
    probes.name as probe,
    images.path as image,
    failed_images.reason
from store.failed_images
inner join store.images using (image_id)
inner join store.probes using (probe_id)
