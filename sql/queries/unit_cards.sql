-- What does each unit stand for, and which images make it fire?
--   $setting: integer = ; setting to count under: its number, or a method that only one has; the newest where not given
--   $images: integer = 5; how many images of each unit
with pictures as (
    select
        model,
        layer,
        unit,
        probe,
        list(image_id order by rank) as image_ids,
        list(activation order by rank) as activations,
        list(peak_x order by rank) as peaks_x,
        list(peak_y order by rank) as peaks_y,
        -- of units that have one on any of these images
        case when count(outline) > 0 then list(outline order by rank) end as outlines
    from top_images
    left join outlines using (model, layer, unit, probe, image_id)
    where rank <= $images::integer
    group by model, layer, unit, probe
),

-- of sums that are more than one concept's name
sums as (
    select
        scoring,
        unit,
        list(concept order by position) as terms,
        list(weight order by position) as weights,
        list(share order by position) as shares
    from unit_terms
    group by scoring, unit
    having (count(*) > 1 or min(weight) < 0) and count(operator) = 0
),

-- what masks show of a unit, beside its label in a setting that looks at no masks
by_masks as (
    select
        detectors.model,
        detectors.layer,
        detectors.unit,
        detectors.probe,
        max_by(detectors.explanation, detectors.scoring) as detected,
        max_by(detectors.iou, detectors.scoring) as detected_iou
    from detectors
    where detectors.setting <> coalesce($setting::integer, (select newest_setting.setting from newest_setting))
    group by detectors.model, detectors.layer, detectors.unit, detectors.probe
)

select
    unit_labels.model,
    unit_labels.layer,
    unit_labels.unit,
    unit_labels.concept,
    unit_labels.category,
    unit_labels.similarity,
    unit_labels.runner_up,
    unit_labels.margin,
    unit_labels.p_value,
    unit_labels.q_value,
    unit_labels.is_significant,
    unit_labels.status,
    unit_labels.explanation,
    unit_labels.held_out_correlation,
    unit_labels.ceiling,
    unit_labels.stability,
    unit_labels.confidence,
    unit_labels.holds,
    unit_labels.is_polysemantic,
    sums.terms,
    sums.weights,
    sums.shares,
    layers.receptive_field,
    pictures.image_ids,
    pictures.activations,
    pictures.peaks_x,
    pictures.peaks_y,
    pictures.outlines,
    unit_labels.union_pixels is not null as is_by_masks,
    case when unit_labels.union_pixels is null then by_masks.detected end as detected,
    case when unit_labels.union_pixels is null then by_masks.detected_iou end as detected_iou
from unit_labels
inner join store.scorings as keys on unit_labels.scoring = keys.scoring_id
inner join store.layers on keys.layer_id = layers.layer_id
left join pictures using (model, layer, unit, probe)
left join by_masks using (model, layer, unit, probe)
left join sums on unit_labels.scoring = sums.scoring and unit_labels.unit = sums.unit
where unit_labels.setting = coalesce($setting::integer, (select newest_setting.setting from newest_setting))
order by unit_labels.model asc, unit_labels.position asc, unit_labels.unit asc
