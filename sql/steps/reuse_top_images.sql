-- The places of top images in their own probe, for the images that are reused of them.
insert into store.top_candidates
select
    top_images.layer_id,
    $probe_id,
    top_images.unit,
    reused_images.image_id,
    top_images.activation,
    top_images.peak_x,
    top_images.peak_y
from store.top_images
inner join reused_images on top_images.image_id = reused_images.source_id
where top_images.layer_id = $layer_id
order by top_images.unit, reused_images.image_id
