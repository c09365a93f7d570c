-- How do the top images of one unit look?
--   $model: text; name of the model
--   $layer: text; name of the layer
--   $unit: integer; number of the unit, from 0
select
    top_images.image_id,
    thumbnails.webp
from top_images
inner join store.thumbnails on top_images.image_id = thumbnails.image_id
where top_images.model = $model and top_images.layer = $layer and top_images.unit = $unit::integer
order by top_images.image_id
