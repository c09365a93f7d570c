-- One row per scoring whose labels are known by pixels, and category of its labels: the bars of Network Dissection.
--   position: place of the layer in the model, in the order of named_modules()
--   units: units of the layer whose label is of this category
--   detectors: how many of them are detectors, see the view detectors
--   unique_detectors: distinct concepts of these; a scene and an object of one name are two
--   layer_units: units of the layer
--   least_iou: above which a unit is a detector
select
    unit_labels.scoring,
    any_value(unit_labels.setting) as setting,
    any_value(unit_labels.model) as model,
    any_value(unit_labels.layer) as layer,
    any_value(unit_labels.position) as position,
    unit_labels.category,
    count(*) as units,
    count(detectors.unit) as detectors,
    count(distinct detectors.concept) as unique_detectors,
    any_value(keys.units) as layer_units,
    any_value(coalesce(try_cast(keys.parameters ->> 'iou' as double), 0.04)) as least_iou,
    any_value(unit_labels.method) as method,
    any_value(unit_labels.concept_set) as concept_set,
    any_value(unit_labels.probe) as probe
from unit_labels
inner join store.scorings as keys on unit_labels.scoring = keys.scoring_id
left join detectors on unit_labels.scoring = detectors.scoring and unit_labels.unit = detectors.unit
where unit_labels.concept is not null and unit_labels.union_pixels is not null
group by unit_labels.scoring, unit_labels.category
