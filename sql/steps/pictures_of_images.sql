-- How some images look, by their number.
select
    image_id,
    webp
from store.thumbnails
where list_contains($image_ids::integer[], image_id)
