-- Images of a probe that could not be read once, and could at another time.
delete from store.failed_images
where
    image_id between $first_image_id and $last_image_id
    and image_id in (select image_id from store.thumbnails)
