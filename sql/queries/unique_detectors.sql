-- How many units of each layer are detectors of a concept, and of how many concepts?
-- A scene and an object of one name are two concepts.
--   $setting: integer = ; setting to count under: its number, or a method that only one has; the newest where not given
select
    model,
    layer,
    any_value(position) as position,
    any_value(layer_units) as units,
    sum(detectors)::bigint as detectors,
    sum(unique_detectors)::bigint as unique_detectors,
    any_value(least_iou) as least_iou
from detector_summary
where setting = coalesce($setting::integer, (select newest_setting.setting from newest_setting))
group by model, layer
order by model asc, position asc
