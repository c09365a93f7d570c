-- One row per unit that is a detector of its label, as Network Dissection has it: the pixels where the unit is active
-- and those that show the label have an intersection of more than a share of their union. The scoring's parameter iou
-- says which; where it has none, as of imported labels, it is 0.04.
--   position: place of the layer in the model, in the order of named_modules()
--   concept: the first concept of the label, the one that is counted
--   category: that the concept is counted in
--   iou: intersection over union
--   explanation: the whole label as text
--   threshold: above which the unit counts as active; null for imported labels
--   intersection_pixels: in how many pixels of all images the unit is active and the label is shown
--   union_pixels: in how many one of the two is so
select
    unit_labels.scoring,
    unit_labels.setting,
    unit_labels.model,
    unit_labels.layer,
    unit_labels.position,
    unit_labels.unit,
    unit_labels.concept,
    unit_labels.category,
    unit_labels.intersection_pixels / unit_labels.union_pixels as iou,
    unit_labels.explanation,
    unit_labels.threshold,
    unit_labels.intersection_pixels,
    unit_labels.union_pixels,
    unit_labels.method,
    unit_labels.concept_set,
    unit_labels.probe
from unit_labels
inner join store.scorings as keys on unit_labels.scoring = keys.scoring_id
where
    unit_labels.concept is not null
    and unit_labels.intersection_pixels / unit_labels.union_pixels
    > coalesce(try_cast(keys.parameters ->> 'iou' as double), 0.04)
