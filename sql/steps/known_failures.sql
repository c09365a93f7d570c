-- The images of a probe that could not be read, each with its path and the reason.
select
    image_id,
    images.path || ': ' || failed_images.reason as reason
from store.failed_images
inner join store.images using (image_id)
where image_id between $first_image_id and $last_image_id
order by image_id
