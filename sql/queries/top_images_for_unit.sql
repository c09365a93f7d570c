-- Which images make one unit fire most?
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
    image_id
from top_images
where model = $model and layer = $layer and unit = $unit::integer and rank <= $top::integer
order by probe, rank
