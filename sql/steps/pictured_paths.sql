-- The paths of those images of which there is a picture.
select
    image_id,
    images.path
from store.thumbnails
inner join store.images using (image_id)
where image_id between $first_image_id and $last_image_id
order by image_id
