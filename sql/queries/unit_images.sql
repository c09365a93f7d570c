-- What is each unit's label, and what are the images called that make it fire most?
--   $setting: integer = ; setting to count under: its number, or a method that only one has; the newest where not given
--   $images: integer = 5; how many images of each unit
with best_images as (
    select
        model,
        layer,
        unit,
        probe,
        list(image order by rank) as images
    from top_images
    where rank <= $images::integer
    group by
        model,
        layer,
        unit,
        probe
)

select
    unit_labels.model,
    unit_labels.layer,
    unit_labels.unit,
    unit_labels.concept,
    unit_labels.explanation,
    coalesce(best_images.images, []) as images
from unit_labels
left join best_images using (model, layer, unit, probe)
where unit_labels.setting = coalesce($setting::integer, (select newest_setting.setting from newest_setting))
order by unit_labels.model asc, unit_labels.position asc, unit_labels.unit asc
