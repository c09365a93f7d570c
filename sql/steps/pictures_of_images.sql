-- How some images look, by their number, with the size of the picture in pixels.
select
    thumbnails.image_id,
    thumbnails.width,
    thumbnails.height,
    thumbnails.webp
from (select distinct unnest($image_ids::integer[]) as image_id) as asked
inner join store.thumbnails using (image_id)
