-- What does each labeler say of the units of one layer?
-- One row per unit and setting; as labels_of_unit has them for one unit.
--   $model: text; name of the model
--   $layer: text; name of the layer
select
    unit,
    setting,
    explanation,
    held_out_correlation,
    ceiling,
    confidence,
    holds,
    intersection_pixels / union_pixels as iou
from unit_labels
where
    model = $model
    and layer = $layer
order by unit asc, probe asc, held_out_correlation desc nulls last, setting asc
