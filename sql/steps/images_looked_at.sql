-- The images of a probe of which there is a picture, or a reason why not.
select image_id
from store.thumbnails
where image_id between $first_image_id and $last_image_id
union all
select image_id
from store.failed_images
where image_id between $first_image_id and $last_image_id
