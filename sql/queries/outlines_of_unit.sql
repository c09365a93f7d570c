-- Where on its top images is one unit above its threshold?
-- The outline is an SVG path in a picture of 100 x 100 that is the whole image; width and height are its thumbnail's.
--   $model: text; name of the model
--   $layer: text; name of the layer
--   $unit: integer; number of the unit, from 0
select
    outlines.image_id,
    thumbnails.width,
    thumbnails.height,
    outlines.outline
from outlines
inner join store.thumbnails using (image_id)
where outlines.model = $model and outlines.layer = $layer and outlines.unit = $unit::integer
order by outlines.image_id
