-- What does each labeler say of one unit, and which one predicts it best?
-- One row per setting, probe by probe; the label that predicts the unit best comes first. iou is the intersection over
-- union of where the unit is active and its label shown, null for labels not found so.
--   $model: text; name of the model
--   $layer: text; name of the layer
--   $unit: integer; number of the unit, from 0
select
    method,
    explanation,
    held_out_correlation,
    ceiling,
    confidence,
    holds,
    concept_set,
    encoder,
    probe,
    setting,
    category,
    intersection_pixels / union_pixels as iou
from unit_labels
where
    model = $model
    and layer = $layer
    and unit = $unit::integer
order by probe asc, held_out_correlation desc nulls last, setting asc
