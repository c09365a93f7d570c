-- Which images make one unit fire most?
-- peak_x and peak_y are where its map is highest, as in the view top_images.
--   $model: text; name of the model
--   $layer: text; name of the layer
--   $unit: integer; number of the unit, from 0
--   $top: integer = 10; how many images, up to 20
select
    rank,
    image,
    label,
    activation,
    probe,
    image_id,
    peak_x,
    peak_y
from top_images
where model = $model and layer = $layer and unit = $unit::integer and rank <= $top::integer
order by probe, rank
